#!/usr/bin/env bash
# Compiles RocksDB once for all profiles and clones, and writes .cargo/config.toml so that cargo
# links it.
#
# The sources are those of the crate librocksdb-sys. Its build script compiles 342 files one by one,
# each with the same headers: 30 minutes on two cores. Here they are included into about a dozen
# files, which takes about 8 minutes. The name of the library in the cache is derived from
# everything it depends on, so that another version, compiler or flag gets its own library.
# ROCKSDB_LIB_DIR in the environment names a library to use instead.
#
#   scripts/rocksdb.sh             the library, and the configuration of cargo
#   scripts/rocksdb.sh bindings    only checks that bindgen can generate the bindings
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PARTS=12   # 0.7 MB of source each; a compiler needs up to 1.5 GB of memory for one
readonly PART_MEMORY_KB=$((1536 * 1024))
readonly CONFIG=.cargo/config.toml
readonly MARK='# Written by scripts/rocksdb.sh'

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidings/rocksdb
cxx=${CXX:-c++}

say() { echo "rocksdb: $*" >&2; }

minutes() { # seconds
  if [ "$1" -lt 60 ]; then echo "$1 s"; else echo "$(($1 / 60)) min $(($1 % 60)) s"; fi
}

# The folder of a crate in the version of Cargo.lock, from cargo's output in $metadata.
crate() { # name
  grep -o '"manifest_path":"[^"]*/'"$1"'-[0-9][^"]*/Cargo.toml"' <<<"$metadata" |
    head -n 1 | cut -d '"' -f 4 | xargs dirname
}

# Definitions as in the crate's build.rs, for the features lz4 and zstd. -O2 as in RocksDB's own
# build; no debug information, which would be 20 times the library. Block checksums use SSE4.2 and
# PCLMUL (ARM: crc, aes).
flags() { # target
  echo -std=c++20 -O2 -g0 -fPIC -w -include cstdint
  echo -DNDEBUG=1 -DLZ4=1 -DZSTD=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION
  echo -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
  echo -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
  case $1 in
    x86_64-*) echo -msse4.2 -mpclmul ;;
    aarch64-*) echo -march=armv8-a+crc+crypto ;;
  esac
}

# Writes part-NN.cc files into the current folder: neighbours in the list together, parts of similar
# size.
write_parts() { # crate
  local file size total=0 part=0 filled=0
  local -a files=() sizes=()
  while read -r file; do
    # The crate has a version of this file that needs no git.
    [ "$file" != util/build_version.cc ] || continue
    size=$(wc -c <"$1/rocksdb/$file")
    files+=("$file")
    sizes+=("$size")
    total=$((total + size))
  done <"$1/rocksdb_lib_sources.txt"
  echo '#include "build_version.cc"' >part-00.cc
  local i
  for i in "${!files[@]}"; do
    echo "#include \"${files[$i]}\"" >>"$(printf 'part-%02d.cc' "$part")"
    filled=$((filled + sizes[i]))
    if [ $((filled * PARTS)) -ge $((total * (part + 1))) ]; then
      part=$((part + 1))
    fi
  done
}

# Compiles a part, or each of its files if they do not compile together (in another version of
# RocksDB, or with another compiler).
compile() { # part
  if "$cxx" "${compiler[@]}" -c "$1.cc" -o "$1.o" 2>"$1.log"; then
    return
  fi
  local include number=0
  while read -r include; do
    number=$((number + 1))
    echo "$include" >"$1-$number.cc"
    if ! "$cxx" "${compiler[@]}" -c "$1-$number.cc" -o "$1-$number.o" 2>"$1.log"; then
      cat "$1.log" >&2
      return 1
    fi
  done <"$1.cc"
  say "the files of $1 were compiled one by one, because they do not compile together"
}

jobs_for_memory() {
  local cores available
  cores=$(nproc)
  available=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)
  local fitting=$((available / PART_MEMORY_KB))
  [ "$fitting" -lt "$cores" ] || fitting=$cores
  [ "$fitting" -ge 1 ] || fitting=1
  echo "$fitting"
}

compile_all() {
  local started=$SECONDS jobs total=0 ended=0 part
  jobs=$(jobs_for_memory)
  for part in part-*.cc; do total=$((total + 1)); done
  local last=''
  [ ! -e "$cache/seconds" ] || last=", which took $(minutes "$(cat "$cache/seconds")") last time"
  say "compiling $name in $total parts, $jobs at a time$last"
  for part in part-*.cc; do
    if [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; then
      wait -n || return 1
      ended=$((ended + 1))
      say "$ended of $total parts, $(minutes $((SECONDS - started)))"
    fi
    compile "${part%.cc}" &
  done
  while [ "$ended" -lt "$total" ]; do
    wait -n || return 1
    ended=$((ended + 1))
    say "$ended of $total parts, $(minutes $((SECONDS - started)))"
  done
  ar crs librocksdb.a part-*.o
  echo $((SECONDS - started)) >"$cache/seconds"
}

# Builds in a folder that gets its final name when it is complete. Only one build runs at a time;
# the next one finds its result.
build() { # crate
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  if ! flock -n 9; then
    say "waiting for another build of RocksDB"
    flock 9
  fi
  [ ! -e "$library/librocksdb.a" ] || return 0
  rm -rf "$cache"/*.building
  building=$library.building
  mkdir "$building"
  trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$building"' EXIT
  trap 'exit 130' INT TERM
  local home=$PWD
  cd "$building"
  write_parts "$1"
  compile_all || { say "RocksDB did not compile; the compiler's messages are above"; exit 1; }
  rm -f part-*
  cd "$home"
  mv "$building" "$library"
  trap - EXIT INT TERM
}

# bindgen generates the bindings. It looks for libclang in a dozen folders, selects the highest
# version, and also needs the headers of that version. Therefore this runs bindgen itself on the
# same header, before RocksDB is compiled, in a build that cargo continues later.
check_bindings() {
  local log=$cache/bindings.log
  mkdir -p "$cache"
  libclang=$(cat "$cache/libclang" 2>/dev/null) || true
  if [ -n "${LIBCLANG_PATH:-}" ] || [ ! -e "$libclang" ]; then
    libclang=''
  else
    export LIBCLANG_PATH=$libclang
  fi
  ! bindings "$log" || return 0
  if ! grep -qE 'libclang|clang diag|rocksdb bindings' "$log"; then
    cat "$log" >&2
    exit 1
  fi
  local reason
  reason=$(grep -m 1 -E 'libclang|clang diag|fatal error' "$log") || reason='bindgen fails'
  if [ -n "${LIBCLANG_PATH:-}" ] && [ -z "$libclang" ]; then
    say "the libclang of LIBCLANG_PATH=$LIBCLANG_PATH cannot be used by bindgen: $reason"
    say "unset LIBCLANG_PATH, or set it to the folder of a libclang of version 11 or newer"
    exit 1
  fi
  say "bindgen cannot use the libclang that it finds: $reason"
  # Select the one of the package by its path: another one may have a higher version.
  scripts/prerequisites.sh install libclang-dev "a libclang that bindgen can use, with its headers"
  libclang=$(printf '%s\n' /usr/lib/llvm-*/lib/libclang.so | sort -V | tail -n 1)
  export LIBCLANG_PATH=${libclang%/*}
  if [ ! -e "$libclang" ] || ! bindings "$log"; then
    cat "$log" >&2
    say "bindgen cannot use the libclang of the package libclang-dev either; see above"
    exit 1
  fi
  libclang=$LIBCLANG_PATH
  echo "$libclang" >"$cache/libclang"
}

bindings() { # log
  cargo check --locked --package librocksdb-sys --color never >"$1" 2>&1
}

write_config() {
  if [ -e "$CONFIG" ] && ! grep -qF "$MARK" "$CONFIG"; then
    say "$CONFIG was not written by this script and is not changed. Add to it:"
    printf '[env]\nROCKSDB_LIB_DIR = "%s"\nROCKSDB_STATIC = "1"\n' "$library" >&2
    exit 1
  fi
  mkdir -p "${CONFIG%/*}"
  local text
  text=$(
    echo "$MARK: cargo links this library instead of compiling RocksDB for half an hour."
    echo '[env]'
    for variable in ROCKSDB_LIB_DIR ROCKSDB_STATIC ${libclang:+LIBCLANG_PATH}; do
      echo "$variable = \"${!variable}\""
    done
  )
  # Only if it changes, and in one step: cargo may be reading it.
  if [ "$(cat "$CONFIG" 2>/dev/null)" != "$text" ]; then
    echo "$text" >"$CONFIG.new"
    mv "$CONFIG.new" "$CONFIG"
  fi
}

if [ -n "${ROCKSDB_LIB_DIR:-}" ]; then
  exit 0
fi
if [ "$(uname -s)" != Linux ]; then
  say "cargo compiles RocksDB itself here, which takes half an hour, once for each profile"
  exit 0
fi

metadata=$(cargo metadata --locked --format-version 1)
rocksdb=$(crate librocksdb-sys) lz4=$(crate lz4-sys) zstd=$(crate zstd-sys)
name=${rocksdb##*/}
name="RocksDB ${name##*+}"
target=$("$cxx" -dumpmachine)
read -r -d '' -a compiler < <(flags "$target") || true
key=$(printf '%s\n' "${rocksdb##*/}" "${lz4##*/}" "${zstd##*/}" "$PARTS" "${compiler[@]}" "$target" \
  "$("$cxx" --version | head -n 1)" | cksum | cut -d ' ' -f 1)
library=$cache/${rocksdb##*+}-$key
compiler+=("-I$rocksdb" "-I$rocksdb/rocksdb" "-I$rocksdb/rocksdb/include" "-I$lz4/liblz4/lib" "-I$zstd/zstd/lib")

export ROCKSDB_LIB_DIR=$library ROCKSDB_STATIC=1

check_bindings
if [ "${1:-}" != bindings ]; then
  [ -e "$library/librocksdb.a" ] || build "$rocksdb"
  write_config
fi
