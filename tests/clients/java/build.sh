#!/usr/bin/env bash
# Generates the Java stubs and builds the clients, in the cache: the sources stay as they are, and who comes second finds
# what the first one built. Prints the class path.
set -euo pipefail

cd "$(dirname "$0")"
outputs=${TIDINGS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidings/tools}/java-client
mkdir -p "$outputs"
if command -v flock >/dev/null 2>&1; then
  exec 9>"$outputs.lock"
  flock 9
fi

build() { # further arguments of Maven
  mvn -q -B "$@" -f pom.xml "-Doutputs=$outputs" compile dependency:copy-dependencies
}

made_of=$(find pom.xml src ../proto ../../../proto -type f -print0 | sort -z | xargs -0 cat | cksum)
if [ "$(cat "$outputs/made-of" 2>/dev/null)" != "$made_of" ]; then
  rm -rf "$outputs"
  # Without a network where everything was fetched before.
  build --offline >/dev/null 2>&1 || build >&2
  echo "$made_of" >"$outputs/made-of"
fi
echo "$outputs/classes:$outputs/dependency/*"
