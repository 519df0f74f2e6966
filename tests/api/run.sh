#!/usr/bin/env bash
# Drives a rendezvous of this checkout by its own OpenAPI document: requests that fit it and requests that don't, of strangers, of a
# member and of an admin, and every answer must be one that it names: tests/api/run.sh [EXAMPLES]
# Fetches schemathesis (PyPI, pinned with hashes) into .cache/ on the first run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export MAX_EXAMPLES=${1:-15}
python=${PYTHON:-python3}
venv=$PWD/.cache/schemathesis
stamp="$venv/$(sha256sum tests/api/requirements.txt | cut -c1-16)"
if [ ! -e "$stamp" ]; then
    rm -rf "$venv"
    install=(install --quiet --require-hashes --disable-pip-version-check -r tests/api/requirements.txt)
    if "$python" -m venv "$venv" >/dev/null 2>&1; then
        "$venv/bin/pip" "${install[@]}"
    elif rm -rf "$venv" && mkdir -p "$venv/bin" && "$python" -m pip --version >/dev/null 2>&1; then
        # Where Python comes without venv: the libraries in a folder, and a program that knows it.
        "$python" -m pip "${install[@]}" --target "$venv/lib"
        printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" -m schemathesis.cli "$@"\n' "$venv/lib" "$python" >"$venv/bin/schemathesis"
        chmod +x "$venv/bin/schemathesis"
    else
        echo "tests/api/run.sh: python3 has neither venv nor pip: install python3-venv" >&2
        exit 1
    fi
    touch "$stamp"
fi
SCHEMATHESIS=$venv/bin/schemathesis cargo test --workspace --locked --test it -- --ignored --nocapture --exact \
    document::whoever_knows_only_the_document_is_answered_as_it_says
