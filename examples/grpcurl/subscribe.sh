#!/usr/bin/env bash
set -euo pipefail

# After the kept cursor; the first time, from the earliest event.
start='{"edge": "EDGE_EARLIEST"}'
if [ -f cursor ]; then start="{\"cursor\": \"$(cat cursor)\"}"; fi

# Payloads are delivered as JSON, in the newest 1.x, from any version they were written in.
request="{\"topics\": [\"orders\"], \"start\": $start, \"view\": \"EVENT_VIEW_JSON\",
  \"schema\": {\"accept\": [{\"type\": \"OrderPlaced\", \"version\": \"^1.0\"}]}, \"consumer\": \"billing\"}"

# Every message has a cursor. Keep it after the events before it are processed.
while read -r what value; do
  case $what in
    event) echo "$value" ;;
    cursor) echo "$value" >cursor.new && mv cursor.new cursor ;;
  esac
done < <(
  grpcurl -plaintext -d "$request" "${1:-localhost:7171}" tidings.events.v1.EventService/Subscribe | jq --unbuffered -r '
    (.batch.events[]? | "event \(.offset // 0) \(.event.type) \(.schema.deliveredVersion) \(.event.data | tojson)"),
    (select(.caughtUp) | "event caught up"),
    "cursor \(.[].cursor)"'
)
