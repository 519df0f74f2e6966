#!/usr/bin/env bash
# Fuzzes the protocol: crypto/fuzz/run.sh [seconds for each target] [target …]
#
# Ten seconds each by default, which is a smoke test; a campaign is `crypto/fuzz/run.sh 3600`. It needs a C++ compiler, and
# neither a nightly toolchain nor cargo-fuzz (which works too, on nightly): libFuzzer's coverage comes from the compiler's own
# pass. Inputs that were worth keeping go to crypto/fuzz/corpus, what fails to crypto/fuzz/artifacts; either is given
# again with `crypto/fuzz/target/*/release/TARGET FILE`. A line for each target says how many inputs it had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec </dev/null

seconds=${1:-10}
[ $# -eq 0 ] || shift
case $seconds in ''|*[!0-9]*) echo "crypto/fuzz/run.sh: $seconds is no number of seconds" >&2; exit 2 ;; esac
command -v c++ >/dev/null || { echo "crypto/fuzz/run.sh: c++ is not on the PATH: install a C++ compiler" >&2; exit 1; }

host=$(rustc -vV | sed -n 's/^host: //p')
all=$(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | tail -n +2)
targets=("$@")
[ $# -gt 0 ] || read -r -d '' -a targets <<<"$all" || true

# With a target named, the flags don't reach build scripts and macros.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
flags+=" -Cdebug-assertions -Coverflow-checks --cfg fuzzing"
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
RUSTFLAGS=$flags cargo build --locked --release --target "$host" "${bins[@]}"
python3 seeds.py corpus/.seeds

status=0
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "corpus/.seeds/$target" artifacts
    log=artifacts/$target.log
    if "target/$host/release/$target" "corpus/$target" "corpus/.seeds/$target" "-artifact_prefix=artifacts/$target-" \
        -max_total_time="$seconds" -max_len=40000 -timeout=300 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=1 >"$log" 2>&1; then
        awk -v target="$target" '
            /stat::number_of_executed_units/ { units = $2 } /stat::average_exec_per_sec/ { rate = $2 } /stat::peak_rss_mb/ { rss = $2 }
            / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") corpus = $(i + 1) } }
            END { printf "%-14s %12d inputs, %7d a second, %6d edges, corpus %s, %d MB, nothing failed\n", target, units, rate, cov, corpus, rss }
        ' "$log"
    else
        status=1
        echo "$target FAILED: crypto/fuzz/$log, and the input beside it" >&2
        tail -n 20 "$log" >&2
    fi
done
exit "$status"
