#!/usr/bin/env bash
# Lints the contract. buf comes from npm, in the version that tests/clients/tools pins.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v npm >/dev/null 2>&1; then
  if [ "${CI:-}" = true ]; then
    echo "proto: npm is missing, and CI has to lint the contract" >&2
    exit 1
  fi
  echo "proto: skipped, for npm is missing (Node.js brings it)"
  exit 0
fi

buf=$(scripts/tool.sh buf)
"$buf" lint
echo "proto: the contract is clean (buf $("$buf" --version))"
