#!/usr/bin/env bash
# Runs a step that may take minutes, and says first how long it took the last time that it did.
#
#   scripts/step.sh NAME COMMAND...
set -euo pipefail

name=${1:?"which step?"}
shift
times=${XDG_CACHE_HOME:-$HOME/.cache}/tidings/seconds
# A step that finds everything up to date says nothing of what a whole one takes.
readonly WHOLE_SECONDS=30

last=''
if seconds=$(cat "$times/$name" 2>/dev/null); then
  last=" ($((seconds / 60)) min $((seconds % 60)) s the last time that it compiled everything)"
fi
echo "$name: $*$last" >&2
"$@"
if [ "$SECONDS" -ge "$WHOLE_SECONDS" ]; then
  mkdir -p "$times"
  echo "$SECONDS" >"$times/$name"
fi
