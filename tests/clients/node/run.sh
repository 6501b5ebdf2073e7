#!/usr/bin/env bash
# The whole round in Node.js against the server at ADDRESS, with the contract as @grpc/proto-loader reads it.
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

# The example, as its README says; what npm installs is in npm's own cache.
npm_config_prefer_offline=true "$here/../example.py" "$root/examples/node" "$address"
