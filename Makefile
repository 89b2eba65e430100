# Two commands: `make demo` and `make test`. Both install what a fresh Debian machine lacks.

# A toolchain of rustup goes before the distribution's, which may be too old.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# Arguments for the demo, such as `make demo DEMO="--rate 5000 --duration 20s"`.
DEMO ?=

.DEFAULT_GOAL := help
# Models for `make bench-models`: letters of onnx/bench/models.py.
BENCH_MODELS ?= abcdefgh

# Arguments for the benchmark, such as `make bench BENCH="--records 500000 --rounds 3"`; `BENCH=--help` lists them.
BENCH ?=

# Length and seed of a round of chaos or fuzzing, such as `make chaos SECONDS=600 SEED=7`.
SECONDS ?= 600
SEED ?= 1

.PHONY: help setup demo test chaos mutants simulation fuzz faults bench-models bench-decode bench-guard bench

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## installs what building, the demo and the tests need (Debian)
	@scripts/setup.sh demo test

demo: ## a live pipeline on this machine: mock Kafka, a fraud model, a throwaway Postgres (Ctrl-C ends it)
	@scripts/setup.sh demo
	cargo run -- demo $(DEMO)

test: ## formatting, lints and every test, on real Kafka and Postgres
	@scripts/setup.sh demo test
	@scripts/test.sh

chaos: ## a seeded round of faults over three processes, with an oracle at the end (SECONDS=600, SEED=1; docs/chaos.md)
	@scripts/setup.sh demo test
	@scripts/kafka-jars.sh >/dev/null
	CHAOS_SECONDS=$(SECONDS) CHAOS_SEED=$(SEED) cargo test --workspace --features mutants,onnxruntime --test chaos -- --nocapture chaos_keeps

mutants: ## every planted bug must be seen (docs/chaos.md lists where)
	@scripts/setup.sh demo test
	@scripts/kafka-jars.sh >/dev/null
	cargo test --workspace --features mutants,onnxruntime --test ledger --test care --test guard --test retries --test simulation --test kafka_mock --test postgres --test daemon -- planted without_a_fence registering
	for bug in commit_taken outage_is_poison; do CHAOS_MUTANT=$$bug CHAOS_SECONDS=45 \
	    cargo test --workspace --features mutants,onnxruntime --test chaos -- chaos_keeps || exit 1; done

simulation: ## 100,000 seeds of the simulation
	SEEDS=100000 cargo test --workspace --features mutants,onnxruntime --test simulation -- --nocapture s1_every_seed

fuzz: ## every reader against seeded mutations (SECONDS=600 each, TARGET=json,config, SEED=1); new inputs go to tests/fuzz/corpus
	@scripts/setup.sh test
	cargo test --workspace --features mutants,onnxruntime --test fuzz -- --seconds $(SECONDS) --seed $(SEED) --target "$(TARGET)" --save

faults: ## slow faults: outages of a minute under load, a full disk, rebalance storms, a change of group protocol (12 minutes)
	@scripts/setup.sh demo test
	@scripts/kafka-jars.sh >/dev/null
	cargo test --workspace --features mutants,onnxruntime --test faults -- --ignored --nocapture

bench-decode: ## nanoseconds an event from JSON or bincode to fields, beside serde_json and bincode (optimised, over the tests' build)
	@scripts/setup.sh demo
	@$$(scripts/bench-build.sh bench_decode)

bench-guard: ## instruction counts of decoding, encoding, ledger and trees against bench/guard.txt (optimised, over the tests' build)
	@scripts/setup.sh demo guard
	@scripts/bench-guard.sh

bench: ## Tidemill beside its peers on real Kafka and Postgres (docs/benchmarks.md; BENCH="--records 500000 --rounds 3" is short)
	@scripts/setup.sh demo test
	@scripts/bench.sh $(BENCH)

bench-models: ## every kind of model against onnxruntime, interleaved in one process (a release build of 10 to 20 minutes, then three)
	@scripts/setup.sh test
	@scripts/bench-models.sh $(BENCH_MODELS)
