#!/usr/bin/env bash
# Prints the path of a tool that only tests need, in the version that tests/clients pins. The tool
# is built or fetched once, into a folder of the cache whose name changes with the pins.
#
#   scripts/tool.sh grpcurl | protoc-gen-go | protoc-gen-go-grpc    Go, built from source
#   scripts/tool.sh buf                      npm
#   scripts/tool.sh node_modules [CLIENT]    the npm packages of tests/clients/CLIENT
#   scripts/tool.sh python                   the interpreter of a venv with PyPI packages
#   scripts/tool.sh wheels                   the folder with the wheels of that venv
set -euo pipefail

tool=${1:?"the name of the tool is missing"}
clients=$(cd "$(dirname "$0")/../tests/clients" && pwd)
pins=$clients/tools
cache=${TIDINGS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidings/tools}
mkdir -p "$cache"

pinned_by() { # files
  cat "$@" | cksum | cut -d ' ' -f 1
}

# Tests run in parallel; the second one waits for the build of the first one.
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

node_modules() { # a folder of tests/clients
  local folder pins
  pins=$clients/$1
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

# The wheels are kept, so that an example can be installed by its documented commands, without PyPI.
python_folder() {
  local folder pins
  pins=$clients/python/requirements.txt
  folder="$cache/python-$(pinned_by "$pins" <(python3 -VV))"
  alone python
  if [ ! -d "$folder" ]; then
    rm -rf "$folder.new"
    python3 -m venv "$folder.new" >&2
    "$folder.new/bin/python" -m pip download --quiet --disable-pip-version-check \
      --dest "$folder.new/wheels" --requirement "$pins" >&2
    "$folder.new/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \
      --find-links "$folder.new/wheels" --requirement "$pins" >&2
    mv "$folder.new" "$folder"
  fi
  echo "$folder"
}

case $tool in
  grpcurl) go_tool grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl ;;
  protoc-gen-go) go_tool protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go ;;
  protoc-gen-go-grpc) go_tool protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc ;;
  buf)
    modules=$(node_modules tools)
    echo "$modules/.bin/buf"
    ;;
  node_modules) node_modules "${2:-tools}" ;;
  python) echo "$(python_folder)/bin/python" ;;
  wheels) echo "$(python_folder)/wheels" ;;
  *)
    echo "unknown tool: $tool" >&2
    exit 2
    ;;
esac
