#!/usr/bin/env bash
set -euo pipefail

publish() { # address, payload
  # The same id and source again are the same event: a publish may be repeated until it is answered.
  local id status
  id=$(date +%s)-$RANDOM-$RANDOM
  # -format-error prints a refusal as JSON, on stderr.
  if status=$(grpcurl -plaintext -format-error -max-time 10 -d @ "$1" tidings.events.v1.EventService/Publish 2>&1 <<END
{"topic": "orders", "events": [{"id": "$id", "source": "/shop", "type": "OrderPlaced", "data": $2}]}
END
  ); then
    jq -r '.results[0] | "recorded at offset \(.offset // 0), with schema version \(.schemaVersion)"' <<<"$status"
  else
    jq -r '.details[] | (.reason // empty | "refused: \(.)"), (.fieldViolations[]? | "  \(.field): \(.description)")' <<<"$status"
  fi
}

publish "$1" '{"total": 12.5}'
publish "$1" '{"total": "many"}'
