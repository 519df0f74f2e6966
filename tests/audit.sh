#!/usr/bin/env bash
# What a researcher runs to see the protocol hold: tests/audit.sh [part …], without arguments all of them but miri
#
#   vectors   the committed test vectors, and a change of any byte noticed, in Rust
#   python    the second implementation: the vectors, both ways with fresh secrets, and any value, label or bound changed
#   models    the Verifpal models in docs/formal, each against the verdicts in its head; those that must fail do fail
#   properties  groups of 2 to 8 members under any interleaving; Room Key and recording open nothing; decoders under any bytes
#   attacks   two million forgeries of every kind, of which none may be taken (a minute or two)
#   fuzz      every fuzz target for FUZZ_SECONDS (10) each: crypto/fuzz/run.sh (a few minutes of compiling the first time)
#   miri      unit tests under Miri: only where it is asked for, since it takes a nightly toolchain (rustup component add miri rust-src)
#   ROUNDS (5) rooms are made by each side; SEED (random) makes a run again. Libraries go into .cache/audit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

fail() { echo "tests/audit.sh: $*" >&2; exit 1; }
part() { printf '\naudit: %s\n' "$1"; }

vectors() {
    part "vectors"
    cargo test --workspace --locked --test protocol vectors
}

python() {
    local folder=$PWD/.cache/audit wanted=crypto/tests/independent/requirements.txt here=crypto/tests/independent stamp pip
    part "second implementation"
    command -v python3 >/dev/null || fail "python3 is not on the PATH"
    # The libraries belong to one version of Python.
    stamp=$(python3 --version && cat "$wanted")
    if [ "$stamp" != "$(cat "$folder/stamp" 2>/dev/null)" ]; then
        rm -rf "$folder" && mkdir -p "$folder"
        pip=(python3 -m pip)
        if ! "${pip[@]}" --version >/dev/null 2>&1; then
            python3 -m venv "$folder/venv" || fail "python3 has neither pip nor venv: install python3-venv"
            pip=("$folder/venv/bin/python" -m pip)
        fi
        "${pip[@]}" install --quiet --disable-pip-version-check --require-hashes --target "$folder/lib" -r "$wanted"
        printf '%s\n' "$stamp" >"$folder/stamp"
    fi
    export PYTHONPATH=$folder/lib
    export PYTHONDONTWRITEBYTECODE=1
    python3 "$here/check.py"
    python3 "$here/check.py" --mutate
    cargo build --workspace --locked --example interop
    local work seed=${SEED:-$((RANDOM * 32768 + RANDOM))} rounds=${ROUNDS:-5} round
    work=$(mktemp -d) && trap 'rm -rf "$work"' RETURN
    echo "both ways, $rounds rooms from SEED=$seed"
    for ((round = seed; round < seed + rounds; round++)); do
        target/debug/examples/interop make "$round" "$work/first"
        python3 "$here/check.py" "$work/first"
        python3 "$here/make.py" "$work/second" "$round" >/dev/null
        python3 "$here/check.py" "$work/second"
        target/debug/examples/interop read "$work/second"
    done
}

models() {
    local version=1.6.7 root=$PWD/.cache/verifpal model wanted sessions got
    part "models"
    if [ "$("$root/bin/verifpal" --version 2>/dev/null)" != "verifpal $version" ]; then
        # Built as its authors do it, all in one unit, it takes minutes longer to compile, and saves seconds when it checks the models.
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            cargo install verifpal --locked --ignore-rust-version --version "$version" --root "$root"
    fi
    for model in docs/formal/*.vp; do
        read -r -a wanted < <(sed -n 's|^// expect: ||p' "$model")
        [ ${#wanted[@]} -eq 2 ] || fail "$model doesn't say what to expect"
        for sessions in 1 2; do
            got=$("$root/bin/verifpal" verify "$model" --sessions "$sessions" --result-code 2>&1 | tail -n 1)
            [ "$got" = "${wanted[sessions - 1]}" ] \
                || fail "$model, $sessions sessions: $got instead of ${wanted[sessions - 1]} (verifpal verify $model shows why)"
        done
        echo "$(basename "$model" .vp): ${wanted[*]}"
    done
}

properties() {
    part "properties"
    cargo test --workspace --locked --test protocol -- groups decoders frames epochs records documents
}

attacks() {
    part "attacks"
    cargo test --workspace --locked --test protocol attacks -- --ignored --nocapture --test-threads=1
}

fuzz() {
    part "fuzz"
    crypto/fuzz/run.sh "${FUZZ_SECONDS:-10}"
}

miri() {
    part "miri"
    MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --locked --manifest-path crypto/Cargo.toml --lib -- \
        wire:: ids:: kdf:: label:: extensions:: safety::
}

parts=(vectors python models properties attacks fuzz)
[ $# -eq 0 ] || parts=("$@")
for each in "${parts[@]}"; do
    declare -F "$each" >/dev/null || fail "no part called $each: see the head of this file"
    "$each"
done
printf '\naudit: %s passed in %d s\n' "${parts[*]}" "$SECONDS"
