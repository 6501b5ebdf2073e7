#!/usr/bin/env bash
# Runs the complete round in Chromium against the server at ADDRESS, from a page at
# http://127.0.0.1:PORT, and the example from http://localhost:EXAMPLE_PORT. The server has to list
# both origins. protoc-gen-es generates stubs from proto/; tsc checks the page, esbuild bundles it.
set -euo pipefail

address=${1:?"address of a server?"}
port=${2:?"port of the page?"}
example_port=${3:?"port of the page of the example?"}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
modules=$("$root/scripts/tool.sh" node_modules browser)
export PATH="$modules/.bin:$PATH"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.ts "$here"/*.js "$here"/*.json "$here/buf.gen.yaml" "$work"
ln -s "$modules" "$work/node_modules"
mkdir "$work/payload"
cp "$here/../schemas/payment.proto" "$work/payload"
(
  cd "$work"
  buf generate "$root/proto"
  buf generate payload
  tsc --project .
  esbuild round.ts --bundle --format=esm --log-level=warning --outfile=bundle.js
)
node "$work/run.js" "$address" "$port" "$work/bundle.js" "$here/../schemas"

# Runs the commands of the example's README; npm installs packages from its cache.
npm_config_prefer_offline=true "$here/../example.py" "$root/examples/browser" "$address" "$example_port" \
  node "$here/browse.js" "$address" "$example_port" "$root/examples/browser/README.md"
