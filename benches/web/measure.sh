#!/usr/bin/env bash
# What a request to an axum router costs on headwaiter and on tokio: medians of several rounds in which the servers take turns. A server
# has the first processor, wrk and h2load have the second.
#   bash benches/web/measure.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")"
rounds=${1:-5}
for tool in wrk h2load curl taskset; do
    command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 0; }
done
cargo build --release --quiet
web=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/web
out=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$out"' EXIT
ulimit -n 20000
head -c 500000000 /dev/urandom >"$out/file"
tick=$(getconf CLK_TCK)

declare -A pid port
start() { # runtime
    rm -f "$out/port"
    taskset -c 0 "$web" "$1" "$out/file" >"$out/port" &
    pid[$1]=$!
    until [ -s "$out/port" ]; do sleep 0.05; done
    port[$1]=$(<"$out/port")
}
cpu_ms() { awk -v tick="$tick" '{ print ($14 + $15) * 1000 / tick }' "/proc/${pid[$1]}/stat"; }
resident() { awk '/^VmRSS/ { print $2 * 1024 }' "/proc/${pid[$1]}/status"; }
note() { echo "$3" >>"$out/${2//\//%}.$1"; } # runtime figure value

# Server CPU a request in microseconds, and requests a second.
of_requests() { # runtime name cpu requests seconds
    note "$1" "$2, CPU us a request" "$(awk "BEGIN { print $3 * 1000 / $4 }")"
    note "$1" "$2, requests a second" "$(awk "BEGIN { print $4 / $5 }")"
}
by_wrk() { # runtime name path
    local before; before=$(cpu_ms "$1")
    taskset -c 1 wrk -t 1 -c 100 -d 2 "http://127.0.0.1:${port[$1]}$3" >"$out/wrk"
    if grep -E "Non-2xx|Socket errors" "$out/wrk"; then exit 1; fi
    read -r requests seconds < <(sed -n 's/^ *\([0-9]*\) requests in \([0-9.]*\)s,.*/\1 \2/p' "$out/wrk")
    of_requests "$1" "$2" "$(awk "BEGIN { print $(cpu_ms "$1") - $before }")" "$requests" "$seconds"
}
by_h2load() { # runtime name path
    local before began; before=$(cpu_ms "$1"); began=$(date +%s.%N)
    taskset -c 1 h2load -n 200000 -c 10 -m 10 "http://127.0.0.1:${port[$1]}$3" >"$out/h2load"
    grep -q " 200000 2xx" "$out/h2load"
    local seconds; seconds=$(awk "BEGIN { print $(date +%s.%N) - $began }")
    of_requests "$1" "$2" "$(awk "BEGIN { print $(cpu_ms "$1") - $before }")" 200000 "$seconds"
}
by_curl() { # runtime name path
    local before; before=$(cpu_ms "$1")
    for _ in 1 2 3; do taskset -c 1 curl -sf -o /dev/null "http://127.0.0.1:${port[$1]}$3"; done
    note "$1" "$2, CPU ms" "$(awk "BEGIN { print ($(cpu_ms "$1") - $before) / 3 }")"
}
idle_sockets() { # runtime, on a server that has done nothing else
    start "$1"
    local before after; before=$(resident "$1")
    mkfifo "$out/hold"
    taskset -c 1 "$web" sockets "${port[$1]}" 10000 <"$out/hold" >"$out/sockets" &
    exec 3>"$out/hold"
    until [ -s "$out/sockets" ]; do sleep 0.1; done
    after=$(resident "$1")
    note "$1" "idle WebSocket, resident bytes" $(((after - before) / 10000))
    exec 3>&-
    wait $!
    rm "$out/hold" "$out/sockets"
    kill "${pid[$1]}"
}

for runtime in headwaiter tokio; do idle_sockets $runtime; done
for runtime in headwaiter tokio; do start $runtime; done
for runtime in headwaiter tokio; do by_wrk $runtime warm-up /plain; by_curl $runtime warm-up /file; done
rm "$out"/warm-up*
for _ in $(seq "$rounds"); do
    for runtime in headwaiter tokio; do by_wrk $runtime "/plain" /plain; done
    for runtime in headwaiter tokio; do by_wrk $runtime "/json" /json; done
    for runtime in headwaiter tokio; do by_h2load $runtime "/json by HTTP/2" /json; done
    for runtime in headwaiter tokio; do by_curl $runtime "500 MB file" /file; done
    by_curl headwaiter "500 MB file, tokio in pieces of 64 KiB too" /file
    by_curl tokio "500 MB file, tokio in pieces of 64 KiB too" /file-64k
done

median() { sort -g "$1" | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }
printf '%-62s %12s %12s %7s\n' "" headwaiter tokio ratio
for file in "$out"/*.headwaiter; do
    figure=$(basename "$file" .headwaiter)
    one=$(median "$file"); two=$(median "${file%.headwaiter}.tokio")
    printf '%-62s %12.2f %12.2f %7.2f\n' "${figure//%//}" "$one" "$two" "$(awk "BEGIN { print $one / $two }")"
done
