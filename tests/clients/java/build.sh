#!/usr/bin/env bash
# Generates the Java stubs and builds the clients in a cache folder whose name has a checksum of the
# sources: the source folder does not change, and later runs reuse the build. Prints the class path.
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
  # Uses no network if all dependencies are in the local repository.
  build --offline >/dev/null 2>&1 || build >&2
  mv "$folder.new" "$folder"
fi
echo "$folder/classes:$folder/dependency/*"
