#!/usr/bin/env bash
# Lints the contract with buf from npm, in the version that tests/clients/tools pins.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! missing=$(scripts/toolchain.sh node npm); then
  missing=$(cut -f 2 <<<"$missing" | paste -s -d ';')
  if [ "${CI:-}" = true ]; then
    echo "proto: required in CI, which lints the contract: $missing" >&2
    exit 1
  fi
  echo "proto: skipped: $missing"
  exit 0
fi

buf=$(scripts/tool.sh buf)
"$buf" lint
echo "proto: the contract is clean (buf $("$buf" --version))"
