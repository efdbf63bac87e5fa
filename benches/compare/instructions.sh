#!/usr/bin/env bash
# User-space instructions that an echoed message costs the server, by callgrind: 100 connections, 64 bytes. The
# difference between a run of many rounds and one of few leaves out starting, accepting and ending.
#   bash benches/compare/instructions.sh
set -euo pipefail
cd "$(dirname "$0")"
command -v valgrind >/dev/null || { echo "skipped: no valgrind"; exit 0; }
cargo build --release --quiet
compare=target/release/compare
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

count() { # runtime rounds
    valgrind --tool=callgrind --callgrind-out-file="$out/callgrind" "$compare" server "$1" >"$out/address" 2>"$out/log" &
    local server=$!
    until [ -s "$out/address" ]; do kill -0 "$server" || { cat "$out/log"; exit 1; }; sleep 0.1; done
    "$compare" client "$(cat "$out/address")" 100 "$2"
    wait "$server"
    rm "$out/address"
    sed -n 's/^summary: //p; s/^totals: //p' "$out/callgrind" | head -n 1
}

for runtime in headwaiter tokio; do
    few=$(count "$runtime" 20)
    many=$(count "$runtime" 120)
    echo "$runtime: $(( (many - few) / 10000 )) instructions a message"
done
