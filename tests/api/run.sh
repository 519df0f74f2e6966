#!/usr/bin/env bash
# Drives a rendezvous of this checkout by its own OpenAPI document: requests that fit it and requests that don't, and every answer
# must be one that it names. Fetches schemathesis (PyPI, pinned with hashes) into .cache/ on the first run.
#   tests/api/run.sh [--max-examples N] [URL]      without a URL it starts target/debug/snug-rendezvous on a free port
set -euo pipefail
cd "$(dirname "$0")/../.."
examples=15
[ "${1:-}" = --max-examples ] && { examples=$2; shift 2; }
python=${PYTHON:-python3}
venv=.cache/schemathesis
stamp="$venv/$(sha256sum tests/api/requirements.txt | cut -c1-16)"
if [ ! -e "$stamp" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --require-hashes --disable-pip-version-check -r tests/api/requirements.txt
    touch "$stamp"
fi
url=${1:-}
folder=$(mktemp -d)
server=
stop() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    rm -rf "$folder"
}
trap stop EXIT
if [ -z "$url" ]; then
    program=${SNUG_RENDEZVOUS:-target/debug/snug-rendezvous}
    [ -x "$program" ] || { echo "no $program: run cargo build --workspace --bins first" >&2; exit 1; }
    mkfifo "$folder/ready"
    "$program" serve --listen 127.0.0.1:0 --data-dir "$folder/data" >"$folder/ready" 2>"$folder/log" &
    server=$!
    read -r _ _ url <"$folder/ready"
fi
# What a document can't say: which bytes are an OPAQUE message or a signature, and that a token which is shaped like one is not good.
"$venv/bin/schemathesis" --config-file tests/api/schemathesis.toml run "$url/openapi.json" --url "$url" --max-examples "$examples"
