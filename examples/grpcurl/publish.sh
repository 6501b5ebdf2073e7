#!/usr/bin/env bash
set -euo pipefail

address=${1:-localhost:7171}

publish() { # payload
  # The same id and source is the same event: repeat a publish until it has a response.
  local id answer
  id=$(date +%s)-$RANDOM-$RANDOM
  # -format-error prints errors as JSON.
  if answer=$(jq -n --arg id "$id" --argjson data "$1" \
    '{topic: "orders", events: [{id: $id, source: "/shop", type: "OrderPlaced", data: $data}]}' |
    grpcurl -plaintext -format-error -max-time 10 -d @ "$address" tidings.events.v1.EventService/Publish 2>&1); then
    jq -r '.results[0] | "recorded at offset \(.offset // 0), with schema version \(.schemaVersion)"' <<<"$answer"
  else
    # An error without details is not from the server: it was not reached, or not in time.
    jq -r '.details[] | (.reason // empty | "refused: \(.)"), (.fieldViolations[]? | "  \(.field): \(.description)")' \
      <<<"$answer" 2>/dev/null || { echo "$answer" >&2 && exit 1; }
  fi
}

publish '{"total": 12.5}'
publish '{"total": "many"}'
