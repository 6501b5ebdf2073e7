#!/usr/bin/env bash
# Runs the complete round in Python against the server at ADDRESS: grpcio-tools generates stubs from
# proto/, then round.py runs.
set -euo pipefail

address=${1:?"address of a server?"}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
python=$("$root/scripts/tool.sh" python)

stubs=$(mktemp -d)
trap 'rm -rf "$stubs"' EXIT
mapfile -t protos < <(cd "$root/proto" && find tidings -name '*.proto' | sort)
"$python" -m grpc_tools.protoc -I "$root/proto" -I "$here/../schemas" \
  --python_out="$stubs" --grpc_python_out="$stubs" "${protos[@]}" payment.proto

PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$stubs" "$python" "$here/round.py" "$address"

# Runs the commands of the example's README; pip finds its packages installed.
PIP_NO_INDEX=1 PIP_FIND_LINKS=$("$root/scripts/tool.sh" wheels) PIP_DISABLE_PIP_VERSION_CHECK=1 \
  "$python" "$here/../example.py" "$root/examples/python" "$address"
