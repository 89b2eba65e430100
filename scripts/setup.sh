#!/bin/sh
# Installs what is missing on a Debian machine, and nothing else. Arguments say for what: demo, test, guard.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

missing=
need() { # need PACKAGE...: they are installed at the end, all at once
    missing="$missing $*"
}
have() {
    command -v "$1" >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        echo "setup: needs root; run as root:" "$@" >&2
        exit 1
    fi
}

install_missing() {
    [ -n "$missing" ] || return 0
    if ! have apt-get; then
        echo "setup: this is no Debian; install what these packages hold:$missing" >&2
        exit 1
    fi
    echo "setup: installing$missing"
    as_root apt-get update -q
    # shellcheck disable=SC2086 # a list of packages
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
    missing=
}

build_tools() {
    { have cc && have c++ && have make; } || need build-essential
    have pkg-config || need pkg-config
    pkg-config --exists openssl 2>/dev/null || need libssl-dev
    # librdkafka's build calls it once.
    have python3 || need python3
}

postgres() {
    have initdb && return 0
    for program in /usr/lib/postgresql/*/bin/initdb; do
        [ ! -x "$program" ] || return 0
    done
    need postgresql
}

python() { # with what `python3 -m venv` needs
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || need python3 python3-venv
}

counting() {
    have valgrind || need valgrind
}

kafka() {
    have java || need default-jdk-headless
    have mvn || need maven
}

rust_version() { # the least that Cargo.toml asks for
    sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml"
}

rust_is_new_enough() {
    have cargo || return 1
    found=$(cargo --version 2>/dev/null | cut -d' ' -f2)
    [ -n "$found" ] && [ "$(printf '%s\n' "$(rust_version)" "$found" | sort -V | head -n1)" = "$(rust_version)" ]
}

rust() {
    if ! rust_is_new_enough; then
        # Debian 13 and later have rustup; older ones don't.
        if ! have rustup && have apt-cache && apt-cache show rustup >/dev/null 2>&1; then
            need rustup
            install_missing
        fi
        if ! have rustup; then
            echo "setup: Rust $(rust_version) or newer is missing; install it from https://rustup.rs and try again" >&2
            exit 1
        fi
        echo "setup: installing Rust with rustup"
        rustup toolchain install stable --profile minimal --component clippy,rustfmt
        rustup default stable
    fi
    rust_is_new_enough || {
        echo "setup: $(cargo --version 2>&1 | head -n1) is older than Rust $(rust_version); try 'rustup update'" >&2
        exit 1
    }
}

rust_checks() {
    { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 && return 0
    have rustup && rustup component add clippy rustfmt
}

java_is_new_enough() {
    major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
    [ "${major:-0}" -ge 17 ] || {
        echo "setup: Kafka's broker needs Java 17 or newer, found ${major:-none}" >&2
        exit 1
    }
}

for purpose in "$@"; do
    case $purpose in
    demo) build_tools && postgres ;;
    test) kafka && python ;;
    guard) counting ;;
    *) echo "setup: unknown purpose $purpose (demo, test, guard)" >&2 && exit 2 ;;
    esac
done
install_missing
rust
case " $* " in *" test "*)
    java_is_new_enough
    rust_checks
    ;;
esac
