#!/usr/bin/env bash
# Generates the Java stubs and builds the clients into a folder of the cache whose name changes with what they are made of:
# the sources stay as they are, and who comes second finds what the first one built. Prints the class path.
set -euo pipefail

cd "$(dirname "$0")"
cache=${TIDINGS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidings/tools}
made_of=$(find pom.xml src ../proto ../../../proto -type f -print0 | sort -z | xargs -0 cat | cksum | cut -d ' ' -f 1)
folder=$cache/java-client-$made_of
mkdir -p "$cache"
if command -v flock >/dev/null 2>&1; then
  exec 9>"$cache/java-client.lock"
  flock 9
fi

build() { # further arguments of Maven
  mvn -q -B "$@" -f pom.xml "-Doutputs=$folder.new" compile dependency:copy-dependencies
}

if [ ! -d "$folder" ]; then
  rm -rf "$folder.new"
  # Without a network where everything was fetched before.
  build --offline >/dev/null 2>&1 || build >&2
  mv "$folder.new" "$folder"
fi
echo "$folder/classes:$folder/dependency/*"
