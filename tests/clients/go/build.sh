#!/usr/bin/env bash
# Generates the Go stubs and builds the client at the given path. The build runs in a cache folder
# whose name has a checksum of the sources: the source folder does not change, and later runs reuse
# the build.
set -euo pipefail

out=${1:?"where to?"}
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
buf=$("$root/scripts/tool.sh" buf)
plugins=$(dirname "$("$root/scripts/tool.sh" protoc-gen-go)")
"$root/scripts/tool.sh" protoc-gen-go-grpc >/dev/null

cache=${TIDINGS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidings/tools}
made_of=$(find . ../proto "$root/proto" -type f -print0 | sort -z | xargs -0 cat | cksum | cut -d ' ' -f 1)
folder=$cache/go-client-$made_of
mkdir -p "$cache"
if command -v flock >/dev/null 2>&1; then
  exec 9>"$cache/go-client.lock"
  flock 9
fi

if [ ! -d "$folder" ]; then
  rm -rf "$folder.new"
  mkdir -p "$folder.new"
  cp ./*.go go.mod go.sum buf.gen.yaml "$folder.new"
  (
    cd "$folder.new"
    PATH="$plugins:$PATH"
    "$buf" generate "$root/proto" --path "$root/proto/tidings"
    "$buf" generate "$root/tests/clients/proto"
    GOFLAGS=-mod=readonly go build -trimpath -o client .
  )
  mv "$folder.new" "$folder"
fi
cp "$folder/client" "$out"
