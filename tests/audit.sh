#!/usr/bin/env bash
# What a researcher runs to see the protocol hold: tests/audit.sh [part …], without arguments all of them
#
#   vectors   the committed test vectors, and a change of any byte noticed, in Rust
#   python    the second implementation: the vectors, both ways with fresh secrets, and any value, label or bound changed
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
    local folder=$PWD/.cache/audit wanted=crypto/tests/independent/requirements.txt
    local python=$folder/bin/python here=crypto/tests/independent
    part "second implementation"
    command -v python3 >/dev/null || fail "python3 is not on the PATH"
    if ! cmp -s "$wanted" "$folder/installed.txt"; then
        rm -rf "$folder"
        python3 -m venv "$folder" || fail "python3 has no venv: install python3-venv"
        "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$wanted"
        cp "$wanted" "$folder/installed.txt"
    fi
    export PYTHONDONTWRITEBYTECODE=1
    "$python" "$here/check.py"
    "$python" "$here/check.py" --mutate
    cargo build --workspace --locked --example interop
    local work seed=${SEED:-$((RANDOM * 32768 + RANDOM))} rounds=${ROUNDS:-5} round
    work=$(mktemp -d) && trap 'rm -rf "$work"' RETURN
    echo "both ways, $rounds rooms from SEED=$seed"
    for ((round = seed; round < seed + rounds; round++)); do
        target/debug/examples/interop make "$round" "$work/first"
        "$python" "$here/check.py" "$work/first"
        "$python" "$here/make.py" "$work/second" "$round" >/dev/null
        target/debug/examples/interop read "$work/second"
    done
}

parts=(vectors python)
[ $# -eq 0 ] || parts=("$@")
for each in "${parts[@]}"; do
    declare -F "$each" >/dev/null || fail "no part called $each: see the head of this file"
    "$each"
done
printf '\naudit: %s passed in %d s\n' "${parts[*]}" "$SECONDS"
