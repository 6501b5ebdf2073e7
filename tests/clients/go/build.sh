#!/usr/bin/env bash
# Generates the Go stubs from proto/ and builds the client to the path given.
set -euo pipefail

out=${1:?"where to?"}
root=$(cd "$(dirname "$0")/../../.." && pwd)
buf=$("$root/scripts/tool.sh" buf)
plugins=$(dirname "$("$root/scripts/tool.sh" protoc-gen-go)")
"$root/scripts/tool.sh" protoc-gen-go-grpc >/dev/null

cd "$(dirname "$0")"
PATH="$plugins:$PATH" "$buf" generate
GOFLAGS=-mod=readonly go build -trimpath -o "$out" .
