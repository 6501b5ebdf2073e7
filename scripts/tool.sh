#!/usr/bin/env bash
# Prints the path of a tool that only tests need, in the version that tests/clients/tools pins. Built or fetched once, into
# a folder of the cache whose name changes with the pins.
#
#   scripts/tool.sh grpcurl | protoc-gen-go | protoc-gen-go-grpc    Go, built from source
#   scripts/tool.sh buf                                             npm
#   scripts/tool.sh node_modules                                    the folder that npm filled
set -euo pipefail

tool=${1:?"which tool?"}
pins=$(cd "$(dirname "$0")/../tests/clients/tools" && pwd)
cache=${TIDINGS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidings/tools}
mkdir -p "$cache"

pinned_by() { # files
  cat "$@" | cksum | cut -d ' ' -f 1
}

# Tests run side by side; the second one waits for what the first one builds.
alone() {
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$cache/$1.lock"
    flock 9
  fi
}

go_tool() { # name, package
  local bin
  bin="$cache/go-$(pinned_by "$pins/go.mod" "$pins/go.sum")"
  alone "$1"
  if [ ! -x "$bin/$1" ]; then
    mkdir -p "$bin"
    (cd "$pins" && GOFLAGS=-mod=readonly go build -trimpath -o "$bin/$1.new" "$2") >&2
    mv "$bin/$1.new" "$bin/$1"
  fi
  echo "$bin/$1"
}

node_modules() {
  local folder
  folder="$cache/npm-$(pinned_by "$pins/package.json")"
  alone npm
  if [ ! -d "$folder" ]; then
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    cp "$pins/package.json" "$folder.new"
    (cd "$folder.new" && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error) >&2
    mv "$folder.new" "$folder"
  fi
  echo "$folder/node_modules"
}

case $tool in
  grpcurl) go_tool grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl ;;
  protoc-gen-go) go_tool protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go ;;
  protoc-gen-go-grpc) go_tool protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc ;;
  buf)
    modules=$(node_modules)
    echo "$modules/.bin/buf"
    ;;
  node_modules) node_modules ;;
  *)
    echo "no such tool: $tool" >&2
    exit 2
    ;;
esac
