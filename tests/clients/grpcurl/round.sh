#!/usr/bin/env bash
# Runs the complete round with grpcurl and jq, with only reflection. Prints a line for each step. At
# an unexpected result, prints the expected one and fails.
#
#   tests/clients/grpcurl/round.sh path/to/grpcurl host:port
set -euo pipefail

grpcurl=${1:?"where is grpcurl?"}
address=${2:?"where does the server listen?"}
order=$(cat "$(dirname "$0")/../proto/shop/orders/v1/order.proto")

readonly PATIENCE=20 # timeout of every wait in seconds
readonly TOPIC=clients.grpcurl
readonly NOTE=shop.orders.NoteTaken ORDER=shop.orders.v1.OrderPlaced
readonly NOTE_SCHEMA='{"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}, "stars": {"type": "integer"}}}'
readonly EVENTS=tidings.events.v1.EventService TOPICS=tidings.events.v1.TopicService
readonly REGISTRY=tidings.registry.v1.SchemaRegistryService

folder=$(mktemp -d "${TMPDIR:-/tmp}/tidings-grpcurl.XXXXXX")
trap 'rm -rf "$folder"' EXIT

fail() {
  echo "$step: $*" >&2
  exit 1
}

ok() { echo "ok: $step"; }

# Calls a method with the JSON on stdin; prints the response.
call() { # method
  "$grpcurl" -plaintext -max-time "$PATIENCE" -d @ "$address" "$1" 2>"$folder/error" ||
    fail "$1 was refused: $(cat "$folder/error")"
}

# Calls a method that must be refused. -format-error prints the status as JSON, details included.
refused() { # method
  if "$grpcurl" -plaintext -max-time "$PATIENCE" -format-error -d @ "$address" "$1" >"$folder/answer" 2>"$folder/status"; then
    fail "$1 was not refused: $(cat "$folder/answer")"
  fi
  cat "$folder/status"
}

# Checks the result of a jq expression on the JSON on stdin.
expect() { # name, expected, jq expression
  local found
  found=$(jq -cS "$3" | tr '\n' ' ' | sed 's/ $//') || fail "$1: no JSON"
  [ "$found" = "$2" ] || fail "$1: expected $2, found $found"
}

note() { # id, payload
  jq -nc --arg id "$1" --argjson data "$2" --arg type "$NOTE" \
    '{id: $id, source: "/grpcurl", type: $type, subject: "o-1", data: $data}'
}

order() { # id, payload
  jq -nc --arg id "$1" --argjson data "$2" --arg type "$ORDER" \
    '{id: $id, source: "/grpcurl", type: $type, subject: "o-2", data: $data}'
}

batch() { # events...
  printf '%s\n' "$@" | jq -sc --arg topic "$TOPIC" '{topic: $topic, events: .}'
}

register() { # subject, format, text
  jq -nc --arg subject "$1" --arg format "$2" --arg text "$3" \
    '{schema: {subject: $subject, format: $format, definition: {text: $text}}}' | call "$REGISTRY/RegisterSchema"
}

# Opens a subscription; `message` reads its messages one by one.
subscribe() { # request
  exec 3< <({
    "$grpcurl" -plaintext -max-time "$PATIENCE" -d "$1" "$address" "$EVENTS/Subscribe" | jq -c --unbuffered .
  } 2>"$folder/stream")
}

unsubscribe() { exec 3<&-; }

message() { # expected kind
  local line
  read -r -t "$PATIENCE" -u 3 line || fail "no $1: the stream ended or was silent: $(cat "$folder/stream")"
  jq -e --arg kind "$1" 'has($kind)' >/dev/null <<<"$line" || fail "expected $1, found $line"
  jq -c ".$1" <<<"$line"
}

step="a topic is created"
echo '{"topic": {"name": "clients.grpcurl"}}' | call "$TOPICS/CreateTopic" | expect name '"clients.grpcurl"' .topic.name
ok

step="a missing topic is NOT_FOUND, and the nearest one is named"
echo '{"name": "clients.grpcurk"}' | refused "$TOPICS/GetTopic" >"$folder/missing"
expect code 5 .code <"$folder/missing"
expect reason '"TOPIC_NOT_FOUND"' '.details[] | .reason // empty' <"$folder/missing"
expect nearest '"clients.grpcurl"' '.details[] | .metadata.nearest // empty' <"$folder/missing"
expect resource '["topic","clients.grpcurk"]' \
  '.details[] | select(.resourceType) | [.resourceType, .resourceName]' <"$folder/missing"
ok

step="a JSON schema is registered"
register "$NOTE" SCHEMA_FORMAT_JSON "$NOTE_SCHEMA" | expect version '["1.0.0","OUTCOME_REGISTERED"]' '[.schema.version, .outcome]'
ok

step="a Protobuf schema is registered"
register "$ORDER" SCHEMA_FORMAT_PROTOBUF "$order" | expect version '["1.0.0","OUTCOME_REGISTERED"]' '[.schema.version, .outcome]'
ok

step="a batch is published"
first=$(batch "$(note n-1 '{"text": "ready"}')" "$(order o-1 '{"number": "1", "total": "9007199254740993"}')" \
  "$(note n-2 '{"text": "set", "stars": 3}')")
call "$EVENTS/Publish" <<<"$first" >"$folder/published"
# Fields with the value 0 are not printed, such as the first event's offset.
expect offsets '[0,1,2]' '[.results[] | .offset // "0" | tonumber]' <"$folder/published"
expect 'key versions' '["1","1","2"]' '[.results[].keyVersion]' <"$folder/published"
expect 'schema versions' '["1.0.0","1.0.0","1.0.0"]' '[.results[].schemaVersion]' <"$folder/published"
expect durability '["DURABILITY_SYNCED"]' '[.results[].durability] | unique' <"$folder/published"
ok

step="a duplicate is told so"
call "$EVENTS/Publish" <<<"$first" >"$folder/again"
expect duplicates '[true,true,true]' '[.results[].duplicate]' <"$folder/again"
expect 'first place' "$(jq -c '[.results[].cursor]' "$folder/published")" '[.results[].cursor]' <"$folder/again"
ok

step="an id with other content is refused"
batch "$(note n-1 '{"text": "other"}')" | refused "$EVENTS/Publish" >"$folder/conflict"
expect code 6 .code <"$folder/conflict"
expect reason '"EVENT_ID_CONFLICT"' '.details[] | .reason // empty' <"$folder/conflict"
ok

step="a condition that fails says what was found"
batch "$(note n-3 '{"text": "go"}')" |
  jq -c '.conditions = [{keyVersion: {key: "o-1", version: 1}}, {topicEnd: {nextOffset: 3}}, {keyVersion: {key: "o-2", version: 0}}]' |
  refused "$EVENTS/Publish" >"$folder/condition"
expect code 10 .code <"$folder/condition"
expect 'reason, expected, actual' '["KEY_VERSION_MISMATCH","1","2"]' \
  '.details[] | select(.reason) | [.reason, .metadata.expected, .metadata.actual]' <"$folder/condition"
expect violations '["topics/clients.grpcurl/keys/o-1","topics/clients.grpcurl/keys/o-2"]' \
  '[.details[] | .violations // [] | .[].subject]' <"$folder/condition"
ok

step="a wrong payload is refused with its place"
batch "$(note n-3 '{"text": 7}')" | refused "$EVENTS/Publish" >"$folder/payload"
expect code 3 .code <"$folder/payload"
expect reason '"PAYLOAD_INVALID"' '.details[] | .reason // empty' <"$folder/payload"
expect place '["events[0].data/text"]' '[.details[] | .fieldViolations // [] | .[].field]' <"$folder/payload"
ok

step="all faults of a batch come at once"
batch "$(note n-3 '{"text": "go", "stars": "many"}')" "$(order o-3 '{"number": 3, "totals": 1}')" |
  refused "$EVENTS/Publish" >"$folder/faults"
expect events '["0","1"]' \
  '[.details[] | .fieldViolations // [] | .[].field | capture("^events.(?<n>[0-9]+).").n] | unique' <"$folder/faults"
ok

step="an Any of an unregistered type is refused"
batch '{"id": "a-1", "source": "/grpcurl", "type": "shop.orders.v1.Unheard", "proto_data": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"}}' |
  refused "$EVENTS/Publish" >"$folder/any"
expect code 9 .code <"$folder/any"
expect reason '"SCHEMA_REQUIRED"' '.details[] | .reason // empty' <"$folder/any"
ok

step="a subscription catches up, and a live event arrives"
subscribe "{\"topics\": [\"$TOPIC\"], \"start\": {\"edge\": \"EDGE_EARLIEST\"}, \"view\": \"EVENT_VIEW_JSON\"}"
message started | expect range '["clients.grpcurl","3"]' '.topics[0] | [.topic, .nextOffset]'
touch "$folder/events"
while [ "$(wc -l <"$folder/events")" -lt 3 ]; do
  message batch >"$folder/batch"
  jq -c '.events[]' "$folder/batch" >>"$folder/events"
done
expect ids '"n-1" "o-1" "n-2"' .event.id <"$folder/events"
# An integer that a double cannot represent is a string, and keeps its value.
expect payloads '{"text":"ready"} {"number":"1","total":"9007199254740993"} {"stars":3,"text":"set"}' \
  .event.data <"$folder/events"
message caughtUp >/dev/null
batch "$(note n-4 '{"text": "live"}')" | call "$EVENTS/Publish" >/dev/null
message batch >"$folder/live"
expect event '["n-4","3",{"text":"live"}]' '.events[0] | [.event.id, .offset, .event.data]' <"$folder/live"
unsubscribe
jq -c '.events[]' "$folder/live" >>"$folder/events"
ok

step="a Protobuf payload comes back as the Any that it was"
"$grpcurl" -plaintext "$address" describe "$ORDER" >"$folder/described" 2>&1 || fail "$(cat "$folder/described")"
grep -q 'int64 total = 2;' "$folder/described" || fail "no description of $ORDER: $(cat "$folder/described")"
jq -nc --arg topic "$TOPIC" --arg type "type.googleapis.com/$ORDER" '{topic: $topic, validate_only: true, events: [
    {id: "o-9", source: "/grpcurl", type: "shop.orders.v1.OrderPlaced", proto_data: {"@type": $type, number: "9", total: 9}}]}' |
  call "$EVENTS/Publish" | expect 'schema version' '"1.0.0"' '.results[0].schemaVersion'
jq -nc --arg topic "$TOPIC" '{topic: $topic, offset: 1, view: "EVENT_VIEW_ANY"}' | call "$EVENTS/GetEvent" |
  expect payload '{"@type":"type.googleapis.com/shop.orders.v1.OrderPlaced","number":"1","total":"9007199254740993"}' \
    .event.event.protoData
# A type that is registered while the stream is open is JSON on that stream.
echo '{"topic": {"name": "clients.grpcurl.parcels"}}' | call "$TOPICS/CreateTopic" >/dev/null
subscribe '{"topics": ["clients.grpcurl.parcels"], "view": "EVENT_VIEW_ANY"}'
message started >/dev/null
message caughtUp >/dev/null
register shop.parcels.v1.ParcelSent SCHEMA_FORMAT_PROTOBUF \
  'syntax = "proto3"; package shop.parcels.v1; message ParcelSent { string order = 1; sint32 grams = 2; }' >/dev/null
jq -nc '{topic: "clients.grpcurl.parcels", events: [{id: "p-1", source: "/grpcurl", type: "shop.parcels.v1.ParcelSent",
    data: {order: "1", grams: 250}}]}' | call "$EVENTS/Publish" >/dev/null
message batch | expect 'payload of a new type' \
  '{"@type":"type.googleapis.com/shop.parcels.v1.ParcelSent","grams":250,"order":"1"}' '.events[].event.protoData'
unsubscribe
ok

step="a cursor resumes exactly"
readarray -t cursors < <(jq -r .cursor "$folder/events")
offset=0
for cursor in "${cursors[@]}"; do
  offset=$((offset + 1))
  subscribe "{\"topics\": [\"$TOPIC\"], \"start\": {\"cursor\": \"$cursor\"}}"
  message started >/dev/null
  next=$offset
  while [ "$next" -lt 4 ]; do
    message batch >"$folder/batch"
    while read -r found; do
      [ "$found" = "$next" ] || fail "behind offset $((offset - 1)): expected $next, found $found"
      next=$((next + 1))
    done < <(jq -r '.events[] | .offset // "0"' "$folder/batch")
  done
  message caughtUp >/dev/null
  unsubscribe
done
ok

step="a stream that asks for ^1.0 is told of 1.1.0"
subscribe "{\"topics\": [\"$TOPIC\"], \"view\": \"EVENT_VIEW_JSON\", \"schema\": {\"accept\": [{\"type\": \"$ORDER\", \"version\": \"^1.0\"}]}}"
message started | expect negotiated '["1.0.0"]' '[.schemas[].version]'
message caughtUp >/dev/null
register "$ORDER" SCHEMA_FORMAT_PROTOBUF "${order/int64 total = 2;/int64 total = 2; string currency = 3;}" |
  expect version '["1.1.0","BUMP_MINOR"]' '[.schema.version, .report.requiredBump]'
batch "$(order o-4 '{"number": "4", "total": "40", "currency": "EUR"}')" | call "$EVENTS/Publish" |
  expect 'schema version' '"1.1.0"' '.results[0].schemaVersion'
message schemaChanged | expect version '"1.1.0"' .schema.version
message batch | expect event '["1.1.0","1.1.0",{"currency":"EUR","number":"4","total":"40"}]' \
  '.events[0] | [.schema.writerVersion, .schema.deliveredVersion, .event.data]'
unsubscribe
ok

step="an event is converted for a reader of 1.0"
jq -nc --arg topic "$TOPIC" --arg type "$ORDER" \
  '{topics: [$topic], key: "o-2", view: "EVENT_VIEW_JSON", schema: {accept: [{type: $type, version: "~1.0"}]}}' |
  call "$EVENTS/Read" >"$folder/read"
expect 'versions and payload' '["1.1.0","1.0.0",true,{"number":"4","total":"40"}]' \
  '.batch.events[1] | [.schema.writerVersion, .schema.deliveredVersion, .schema.converted, .event.data]' <"$folder/read"
ok

step="the schema can be read back"
jq -nc --arg subject "$NOTE" '{subject_version: {subject: $subject}}' | call "$REGISTRY/GetSchema" |
  expect text "$(jq -nc --arg text "$NOTE_SCHEMA" '$text')" .schema.definition.text
ok

step="a deadline ends the call"
if "$grpcurl" -plaintext -max-time 1 -format-error -d "{\"topics\": [\"$TOPIC\"]}" "$address" "$EVENTS/Subscribe" \
  >"$folder/stream" 2>"$folder/deadline"; then
  fail "the stream ended by itself: $(cat "$folder/stream")"
fi
expect code 4 .code <"$folder/deadline"
ok
