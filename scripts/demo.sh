#!/usr/bin/env bash
# The demo: a server on an empty directory, an order flow, and a subscriber that catches up and
# follows live.
#
#   scripts/demo.sh path/to/tidings
set -euo pipefail

tidings=$(realpath "${1:?"the path of the binary is missing"}")
cd "$(dirname "$0")/../examples/orders"
PATH="$(dirname "$tidings"):$PATH"
# The settings of a developer and of the Makefile do not apply to the demo's server.
unset "${!TIDINGS_@}"

readonly FORMAT='{topic} {offset} {key} {type} {data}'
readonly TIMEOUT_SECONDS=15   # for each wait

folder=$(mktemp -d "${TMPDIR:-/tmp}/tidings-demo.XXXXXX")
server='' subscriber=''

clean_up() {
  trap - EXIT INT TERM
  local process
  for process in $subscriber $server; do
    kill -TERM "$process" 2>/dev/null || continue
    wait "$process" 2>/dev/null || true
  done
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'echo; echo "interrupted"; exit 130' INT TERM

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
else
  bold='' dim='' plain=''
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; }
indent() { sed -u 's/^/    /'; }

fail() {
  echo "demo: $*" >&2
  tail -n 20 "$folder"/*.log >&2 2>/dev/null || true
  exit 1
}

# Waits until a command succeeds.
eventually() { # description, command...
  local description=$1 until=$((SECONDS + TIMEOUT_SECONDS))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$until" ] || fail "not within $TIMEOUT_SECONDS s: $description"
    sleep 0.05
  done
}

lines_in() { wc -l < "$1"; }
has_lines() { [ "$(lines_in "$1")" -ge "$2" ]; }
serves() { grep -q '^listening on ' "$folder/server.out" || ! kill -0 "$server" 2>/dev/null; }

# Publishes the files of a folder in the order of their numbers; `3.shop.orders.jsonl` goes to
# `shop.orders`.
publish() {
  local file topic
  for file in "$1"/*.jsonl; do
    topic=${file#*/*.}
    topic=${topic%.jsonl}
    show "tidings publish $topic < examples/orders/$file"
    tidings publish "$topic" < "$file" 2>>"$folder/publish.log" >"$folder/published" ||
      fail "could not publish $file"
    sed 's/"cursor":"[^"]*",\{0,1\}//' "$folder/published" | indent
  done
}

say "1. A server on an empty directory"
show "tidings serve --data-dir \$(mktemp -d) --listen 127.0.0.1:0"
tidings serve --data-dir "$folder/data" --listen 127.0.0.1:0 --admin-listen off \
  >"$folder/server.out" 2>"$folder/server.log" &
server=$!
eventually "the server listens" serves
kill -0 "$server" 2>/dev/null || fail "the server did not start"
address=$(sed -n 's/^listening on //p' "$folder/server.out")
echo "listening on $address" | indent
export TIDINGS_SERVER="http://$address"

say "2. The schemas of the events are registered before any deployment: all or none"
show "tidings schema apply examples/orders/schemas"
tidings schema apply schemas >"$folder/applied" 2>>"$folder/schema.log" || fail "could not apply the schemas"
indent < "$folder/applied"

say "3. A breaking change is refused, with its location, the reason and a counterexample"
change=(tidings schema check shop.orders.v1.OrderPlaced schemas/next_order_placed.json --reference money.json=shop.Money)
show "${change[*]}"
status=0
"${change[@]}" >"$folder/checked" 2>>"$folder/schema.log" || status=$?
[ "$status" = 100 ] || fail "the check of a schema that breaks replays ended with $status"
head -n 9 "$folder/checked" | indent

say "4. Three topics"
for topic in shop.orders shop.payments shop.shipping; do
  show "tidings topic create $topic"
  tidings topic create "$topic" >>"$folder/publish.log" 2>&1 || fail "could not create $topic"
done

say "5. The first events: CloudEvents documents, one per line"
publish history
past=$(cat history/*.jsonl | lines_in /dev/stdin)
future=$(cat live/*.jsonl | lines_in /dev/stdin)

say "6. A late subscriber catches up from the earliest event, across topics in append order"
show "tidings subscribe 'shop.*' --from earliest --format '$FORMAT'"
: > "$folder/seen"
tidings subscribe 'shop.*' --from earliest --format "$FORMAT" \
  > >(tee "$folder/seen" | sed -u -E 's/^(.{150}).*/\1/; s/^/    │ /') 2>"$folder/subscriber.log" &
subscriber=$!
eventually "the subscriber has caught up with $past events" has_lines "$folder/seen" "$past"

say "7. It follows live while more events are published"
publish live
eventually "the subscriber follows to $((past + future)) events" has_lines "$folder/seen" $((past + future))

say "8. One flow across topics, by its correlation id"
show "tidings read --correlation-id flow-1003 --format '{topic} {type}'"
tidings read --correlation-id flow-1003 --format '{topic} {type}' | indent

say "9. The same file again appends nothing: the id of an event is known as long as the event is kept"
show "tidings publish shop.orders < examples/orders/history/1.shop.orders.jsonl"
tidings publish shop.orders < history/1.shop.orders.jsonl 2>>"$folder/publish.log" |
  sed 's/"cursor":"[^"]*",\{0,1\}//' | indent

say "10. The subscriber is interrupted, and prints the command that resumes"
show "Ctrl-C"
kill -INT "$subscriber"
wait "$subscriber" 2>/dev/null || true
subscriber=''
resume=$(grep -o 'tidings subscribe .*' "$folder/subscriber.log" | tail -n 1) ||
  fail "the subscriber did not print how to resume"
echo "$resume" | indent
[ "$(lines_in "$folder/seen")" = $((past + future)) ] || fail "a duplicate was delivered"

say "11. An event is published meanwhile; resuming delivers exactly that event"
late='{"specversion":"1.0","id":"1004.reserved","source":"https://shop.example/warehouse","type":"shop.shipping.v1.StockReserved","partitionkey":"order-1004","correlationid":"flow-1004","causationid":"1004.authorized","data":{"order":"order-1004","warehouse":"leipzig"}}'
show "tidings publish shop.shipping '$late'"
tidings publish shop.shipping "$late" >/dev/null 2>>"$folder/publish.log" || fail "could not publish"
show "$resume --exit-at-end"
eval "$resume --exit-at-end" 2>>"$folder/subscriber.log" >"$folder/rest"
indent < "$folder/rest"
[ "$(lines_in "$folder/rest")" = 1 ] || fail "resuming did not deliver exactly one event"

readonly ORDER=shop.orders.v1.OrderPlaced
reads() { # consumer, requirement: follows the orders in its versions, in the background
  show "tidings subscribe shop.orders --accept '$ORDER=$2' --on-mismatch skip --consumer $1 --format '{offset} {type} {schema_version} {data}'"
  tidings subscribe shop.orders --accept "$ORDER=$2" --on-mismatch skip --consumer "$1" \
    --format '{offset} {type} {schema_version} {data}' >"$folder/$1.seen" 2>"$folder/$1.log" &
  subscriber="$subscriber $!"
  eventually "$1 is known to the registry" is_connected "$1"
}
is_connected() { tidings consumer list -o json | grep -q "\"$1\".*\"connected\": *true"; }
place() { # number, attributes as JSON, data as JSON
  local event
  event='{"specversion":"1.0","id":"'$1'.placed","source":"https://shop.example/checkout","type":"'$ORDER'",'$2'"data":'$3'}'
  show "tidings publish shop.orders '$event'"
  tidings publish shop.orders "$event" >/dev/null 2>>"$folder/publish.log" || fail "could not publish order $1"
}
reports() { grep -q "$2" "$folder/$1.log"; }
money=(--reference money.json=shop.Money)

say "12. A reader gives its accepted versions and its name"
reads billing '^1.0'

say "13. The producer moves to 1.1.0 with a new optional field. The reader is notified, and continues"
show "tidings schema register $ORDER schemas/order_placed_1.1.json ${money[*]}"
tidings schema register "$ORDER" schemas/order_placed_1.1.json "${money[@]}" 2>>"$folder/schema.log" | indent
place 1005 '' '{"order":"order-1005","customer":"ada","lines":[{"sku":"lamp-brass","quantity":1,"unit_price":6450}],"total":6450,"currency":"EUR","channel":"web"}'
eventually "billing has order 1005" has_lines "$folder/billing.seen" 1
cat "$folder/billing.seen" "$folder/billing.log" | indent

say "14. A change that would break the reader names it"
change=(tidings schema check "$ORDER" schemas/order_placed_2.0.json "${money[@]}")
show "${change[*]}"
status=0
"${change[@]}" >"$folder/checked" 2>>"$folder/schema.log" || status=$?
[ "$status" = 100 ] || fail "the check of a change that breaks a reader ended with $status"
grep 'billing' "$folder/checked" | indent || fail "the check does not name billing"

say "15. It becomes 2.0.0. A reader of ^1 gets the events that can be converted, and a gap for the others; a reader of ^2 starts"
show "tidings schema register $ORDER schemas/order_placed_2.0.json --version 2.0.0 ${money[*]}"
tidings schema register "$ORDER" schemas/order_placed_2.0.json --version 2.0.0 "${money[@]}" 2>>"$folder/schema.log" >"$folder/second" ||
  fail "could not register 2.0.0"
tail -n 1 "$folder/second" | indent
reads shipping '^2'
place 1006 '' '{"order":"order-1006","customer":"alan","lines":[{"sku":"desk-oak","quantity":1,"unit_price":41900}],"total":{"cents":41900,"currency":"EUR"}}'
place 1007 '"schemaversion":"1.1",' '{"order":"order-1007","customer":"joan","lines":[{"sku":"bulb-e27","quantity":2,"unit_price":390}],"total":780,"currency":"EUR"}'
eventually "billing has order 1007" has_lines "$folder/billing.seen" 2
eventually "shipping has order 1006" has_lines "$folder/shipping.seen" 1
eventually "billing has a gap for order 1006" reports billing 'another major version'
for reader in billing shipping; do
  echo "$reader:" | indent
  { tail -n 1 "$folder/$reader.seen"; grep '^note: gap' "$folder/$reader.log" | tail -n 1; } | sed 's/^/  /' | indent
done

say "16. The server drains and stops"
for process in $subscriber; do
  kill -INT "$process"
  wait "$process" 2>/dev/null || true
done
subscriber=''
show "kill -TERM \$server"
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=''
[ "$status" = 0 ] || fail "the server ended with $status"
echo "exit 0, $((past + future + 4)) events on disk" | indent

say "To continue by yourself:"
cat <<EOF
    $tidings serve
    $tidings topic create hello
    $tidings publish hello '{"greeting":"hello"}'
    $tidings subscribe hello --from earliest
EOF
