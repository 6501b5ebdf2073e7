#!/usr/bin/env bash
# Generates the Go stubs and builds the client to the path given. Both happen in a copy in the cache: the sources stay as
# they are, and who comes second finds what the first one built.
set -euo pipefail

out=${1:?"where to?"}
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
buf=$("$root/scripts/tool.sh" buf)
plugins=$(dirname "$("$root/scripts/tool.sh" protoc-gen-go)")
"$root/scripts/tool.sh" protoc-gen-go-grpc >/dev/null

stage=${TIDINGS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidings/tools}/go-client
mkdir -p "$stage"
if command -v flock >/dev/null 2>&1; then
  exec 9>"$stage.lock"
  flock 9
fi

made_of=$(find . ../proto "$root/proto" -type f -not -path './stubs/*' -print0 | sort -z | xargs -0 cat | cksum)
if [ "$(cat "$stage/made-of" 2>/dev/null)" != "$made_of" ]; then
  rm -rf "$stage"
  mkdir -p "$stage"
  cp ./*.go go.mod go.sum buf.gen.yaml "$stage"
  (
    cd "$stage"
    PATH="$plugins:$PATH"
    "$buf" generate "$root/proto" --path "$root/proto/tidings"
    "$buf" generate "$root/tests/clients/proto"
    GOFLAGS=-mod=readonly go build -trimpath -o client .
  )
  echo "$made_of" >"$stage/made-of"
fi
cp "$stage/client" "$out"
