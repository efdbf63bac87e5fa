#!/usr/bin/env bash
# User-space instructions that an echoed message costs a server, by callgrind: 100 connections, each kept busy, 64 bytes. The
# difference between a run of many messages and one of few leaves out starting, accepting and ending.
#   bash benches/peers/instructions.sh [PEER...]
set -euo pipefail
cd "$(dirname "$0")"
command -v valgrind >/dev/null || { echo "skipped: no valgrind"; exit 0; }
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo build --release --locked --quiet

count() { # peer messages
    valgrind --tool=callgrind --callgrind-out-file="$out/callgrind" "$target/release/$1" echo 64 >"$out/address" 2>"$out/log" &
    local server=$!
    until [ -s "$out/address" ]; do kill -0 "$server" || { cat "$out/log"; exit 1; }; sleep 0.1; done
    "$target/release/peers" client "$(cat "$out/address")" 100 64 "$2"
    kill "$server"
    wait "$server" || true
    rm "$out/address"
    sed -n 's/^summary: //p; s/^totals: //p' "$out/callgrind" | head -n 1
}

for peer in "${@:-headwaiter}"; do
    cargo build --release --locked --quiet --features "$peer" --bin "$peer"
    few=$(count "$peer" 20000)
    many=$(count "$peer" 60000)
    echo "$peer: $(((many - few) / 40000)) instructions a message"
done
