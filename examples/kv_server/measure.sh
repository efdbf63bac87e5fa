#!/usr/bin/env bash
# Compares the processor time per request with that of Redis: bash measure.sh
#
# Both servers run on a free port, and redis-benchmark sends requests to them alternately, in ROUNDS
# rounds: first with one command in flight on each of 50 connections (-P 1), then with sixteen (-P
# 16). The measure is the user and system time of the server's process, from /proc/PID/stat. The
# script prints the medians, in microseconds per request, and their ratio.
set -euo pipefail
cd "$(dirname "$0")"
requests=${REQUESTS:-200000} # Of SET, and as many of GET.
rounds=${ROUNDS:-5}

export CARGO_PROFILE_RELEASE_LTO=thin
cargo build --quiet --locked --release -p kv_server
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

folder=$(mktemp -d)
servers=()
end() {
    kill "${servers[@]}" 2>/dev/null || true
    wait "${servers[@]}" 2>/dev/null || true
    rm -r "$folder"
}
trap end EXIT

RUST_LOG=info "$target/release/kv_server" 127.0.0.1:0 2>"$folder/ours.log" &
ours=$!
servers+=("$ours")
theirs_port=$(shuf -i 20000-30000 -n 1)
redis-server --port "$theirs_port" --save "" --dir "$folder" >"$folder/theirs.log" &
theirs=$!
servers+=("$theirs")
until ours_port=$(grep -o 'listening on .*' "$folder/ours.log" | grep -o '[0-9]*$') \
    && redis-cli -p "$theirs_port" ping >/dev/null 2>&1; do
    kill -0 "$ours" "$theirs"
    sleep 0.1
done

# The user and system time of a process so far, in ticks. After the name, which may contain spaces, they are fields 12 and 13.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }
# PID PORT PIPELINE: microseconds for a request.
measure() {
    local before after
    before=$(ticks "$1")
    redis-benchmark -p "$2" -q -t set,get -c 50 -n "$requests" -P "$3" >/dev/null
    after=$(ticks "$1")
    awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" -v requests="$requests" \
        'BEGIN { printf "%.3f\n", ticks / hertz * 1e6 / (2 * requests) }'
}
median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

redis-server --version
for pipeline in 1 16; do
    : >"$folder/ours" >"$folder/theirs"
    for round in $(seq "$rounds"); do
        measure "$ours" "$ours_port" "$pipeline" >>"$folder/ours"
        measure "$theirs" "$theirs_port" "$pipeline" >>"$folder/theirs"
        echo "-P $pipeline, round $round: kv_server $(tail -n 1 "$folder/ours") us, redis-server $(tail -n 1 "$folder/theirs") us"
    done
    awk -v pipeline="$pipeline" -v ours="$(median <"$folder/ours")" -v theirs="$(median <"$folder/theirs")" \
        'BEGIN { printf "-P %d, median: kv_server %.3f us, redis-server %.3f us, ratio %.2f\n", pipeline, ours, theirs, ours / theirs }'
done
