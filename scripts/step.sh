#!/usr/bin/env bash
# Runs a step that may take minutes, and first prints how long it took the last time.
#
#   scripts/step.sh NAME COMMAND...
set -euo pipefail

name=${1:?"the name of the step is missing"}
shift
times=${XDG_CACHE_HOME:-$HOME/.cache}/tidings/seconds
# A shorter run found most of the code up to date, and its time is not recorded.
readonly FULL_SECONDS=30

last=''
if seconds=$(cat "$times/$name" 2>/dev/null); then
  last=" ($((seconds / 60)) min $((seconds % 60)) s the last time that it compiled everything)"
fi
echo "$name: $*$last" >&2
"$@"
if [ "$SECONDS" -ge "$FULL_SECONDS" ]; then
  mkdir -p "$times"
  echo "$SECONDS" >"$times/$name"
fi
