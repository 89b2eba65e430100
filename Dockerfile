# The daemon on Debian slim. Build with BuildKit: docker build -t tidemill .

FROM rust:1.95-slim-bookworm AS build
# OpenSSL for librdkafka; its build also needs make, a C++ compiler and, once, Python.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential pkg-config libssl-dev python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/tidemill /tidemill

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /tidemill /usr/local/bin/tidemill
# librdkafka and OpenSSL allocate through glibc: an arena a thread would waste memory.
ENV MALLOC_ARENA_MAX=2
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Health is served over HTTP (/livez, /readyz) and asked by the orchestrator.
HEALTHCHECK NONE
ENTRYPOINT ["tidemill"]
CMD ["run", "-c", "/etc/tidemill/tidemill.toml"]
