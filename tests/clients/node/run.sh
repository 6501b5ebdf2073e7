#!/usr/bin/env bash
# Runs the complete round in Node.js against the server at ADDRESS. @grpc/proto-loader loads proto/.
set -euo pipefail

address=${1:?"address of a server?"}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
modules=$("$root/scripts/tool.sh" node_modules node)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/round.js" "$here/package.json" "$work"
ln -s "$modules" "$work/node_modules"
node "$work/round.js" "$address" "$root/proto" "$here/../schemas"

# Runs the commands of the example's README; npm installs packages from its cache.
npm_config_prefer_offline=true "$here/../example.py" "$root/examples/node" "$address"
