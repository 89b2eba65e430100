# Two commands: `make demo` and `make test`. Both install what a fresh Debian machine lacks.

# A toolchain of rustup goes before the distribution's, which may be too old.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# Arguments for the demo, such as `make demo DEMO="--rate 5000 --duration 20s"`.
DEMO ?=

.DEFAULT_GOAL := help
# Models for `make bench-models`: letters of onnx/bench/models.py.
BENCH_MODELS ?= abcdefgh

.PHONY: help setup demo test bench-models bench-decode bench-guard

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

bench-decode: ## nanoseconds an event from JSON to fields, beside serde_json (a release build)
	@scripts/setup.sh demo
	cargo run --release --example bench_decode

bench-guard: ## instruction counts of decoding, encoding, ledger and trees against bench/guard.txt (a release build)
	@scripts/setup.sh demo guard
	@scripts/bench-guard.sh

bench-models: ## every kind of model against onnxruntime, interleaved in one process (a release build; 20 minutes)
	@scripts/setup.sh test
	@scripts/bench-models.sh $(BENCH_MODELS)
