#!/usr/bin/env bash
set -euo pipefail

# The topic may exist already.
grpcurl -plaintext -d '{"topic": {"name": "orders"}}' "${1:-localhost:7171}" tidings.events.v1.TopicService/CreateTopic >/dev/null 2>&1 || true

# Registering the same schema again returns its version.
grpcurl -plaintext -d @ "${1:-localhost:7171}" tidings.registry.v1.SchemaRegistryService/RegisterSchema <<'END' | jq -r '.schema | "\(.subject) \(.version)"'
{"schema": {"subject": "OrderPlaced", "format": "SCHEMA_FORMAT_JSON", "definition": {"text":
  "{\"type\": \"object\", \"properties\": {\"total\": {\"type\": \"number\"}}, \"required\": [\"total\"]}"}}}
END
