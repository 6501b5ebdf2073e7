#!/usr/bin/env bash
# Runs the README's commands as a newcomer would: in bare Debian systems (the minimal base plus
# make, git, curl and CA certificates, with this machine's Rust), with none or half of a toolchain.
# Needs root, for chroots.
#
#   scripts/bare.sh            the prerequisites in every case, and a demo with the code compiled here
#                              (minutes)
#   scripts/bare.sh ci         the cases that compile nothing
#   scripts/bare.sh full       make demo, cargo build and make test from nothing, with their times
#                              (two hours)
#   scripts/bare.sh CASE...    some of the cases; scripts/bare.sh list names them
#
# Each case has a fresh copy of a cached system, and its own mounts, which end with it.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PROJECT=$PWD
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tidings
readonly SYSTEMS=$CACHE/bare
readonly MIRROR=${TIDINGS_DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly INCLUDED=make,git,curl,ca-certificates

# The name of a function below, and a description.
readonly CASES=(
  "bookworm_root:Debian 12, root: missing packages are installed, and the demo runs"
  "trixie_root:Debian 13, root: missing packages are installed"
  "bookworm_sudo:Debian 12, a user with sudo: missing packages are installed"
  "trixie_user:Debian 13, a user without sudo: one message names all missing packages"
  "cpp_only:LLVM's C++ library without libclang: libclang-dev is named"
  "no_headers:a libclang without its headers: bindgen fails, and libclang-dev is installed"
  "old_libclang:an unusable libclang before a usable one: the usable one is used"
  "no_venv:a Python without venv, a Node.js without npm: named in CI, skipped with a message elsewhere"
)
readonly FULL=(
  "full_bookworm:Debian 12, root: make demo, cargo build --release and make test from nothing"
  "full_trixie:Debian 13, root: make demo, cargo build --release and make test from nothing"
)

say() { echo "bare: $*"; }
fail() {
  say "FAILED: $*" >&2
  exit 1
}

# --- systems --------------------------------------------------------------------------------------

make_system() { # suite
  local tar=$SYSTEMS/$1.tar
  [ ! -e "$tar" ] || return 0
  mkdir -p "$SYSTEMS"
  say "making a bare Debian ($1), once"
  rm -rf "$SYSTEMS/$1.making"
  debootstrap --variant=minbase --include="$INCLUDED" "$1" "$SYSTEMS/$1.making" "$MIRROR" >"$SYSTEMS/$1.log" 2>&1 ||
    fail "debootstrap $1: see $SYSTEMS/$1.log"
  echo "deb $MIRROR $1 main" >"$SYSTEMS/$1.making/etc/apt/sources.list"
  chroot "$SYSTEMS/$1.making" apt-get update -qq
  rm -rf "$SYSTEMS/$1.making/var/cache/apt/archives/"*.deb
  tar -C "$SYSTEMS/$1.making" -cf "$tar.new" .
  mv "$tar.new" "$tar"
  rm -rf "$SYSTEMS/$1.making"
}

# Fills $system, in a mount namespace of its own. Nothing here deletes it: `rm` would delete the
# mounted files of the machine. The outer process, which sees none of the mounts, deletes it.
open_system() { # suite
  tar -C "$system" -xf "$SYSTEMS/$1.tar"
  mount -t proc proc "$system/proc"
  mount -t tmpfs tmpfs "$system/dev"
  local device
  for device in null zero full random urandom tty; do
    : >"$system/dev/$device"
    mount --bind "/dev/$device" "$system/dev/$device"
  done
  ln -s /proc/self/fd "$system/dev/fd"
  ln -s /proc/self/fd/0 "$system/dev/stdin"
  ln -s /proc/self/fd/1 "$system/dev/stdout"
  ln -s /proc/self/fd/2 "$system/dev/stderr"
  cp /etc/resolv.conf "$system/etc/resolv.conf"
  # A company mirror may have its own certificate.
  cp /etc/ssl/certs/ca-certificates.crt "$system/etc/ssl/certs/ca-certificates.crt"
  # Packages are fetched once for all cases.
  mkdir -p "$SYSTEMS/$1.archives/partial" "$system/opt/rust"
  mount --bind "$SYSTEMS/$1.archives" "$system/var/cache/apt/archives"
  mount --bind -o ro "$(rustc --print sysroot)" "$system/opt/rust"
  chroot "$system" useradd --create-home --shell /bin/bash newcomer
}

home_of() { # user
  awk -F : -v user="$1" '$1 == user { print $6 }' "$system/etc/passwd"
}

# A clone for a user.
clone() { # user
  local home
  home=$(home_of "$1")
  git clone --quiet --no-hardlinks "$PROJECT" "$system$home/tidings"
  chroot "$system" chown -R "$1:" "$home/tidings"
}

# The crates that this machine has already fetched, as a near mirror would have them.
crates() { # user
  local home
  home=$(home_of "$1")
  mkdir -p "$system$home/.cargo"
  cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$system$home/.cargo/"
  chroot "$system" chown -R "$1:" "$home/.cargo"
}

# --- running --------------------------------------------------------------------------------------

install() { # packages
  chroot "$system" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    >"$system/tmp/log" 2>&1 || { cat "$system/tmp/log"; fail "$name: apt-get install $*"; }
}

# Runs a command of the project as a user. Sets $log to the output file, $code to the exit code.
as() { # user, command...
  local user=$1 home
  shift
  home=$(home_of "$user")
  log=$system/tmp/log
  code=0
  started=$SECONDS
  # env -i: a newcomer does not have this machine's variables.
  chroot --userspec="$user:" "$system" env -i HOME="$home" USER="$user" LANG=C.UTF-8 \
    PATH="/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    bash -c 'cd ~/tidings && exec "$@"' bash "$@" >"$log" 2>&1 </dev/null || code=$?
}

expect() { # exit code, texts that the output contains (or does not contain, after !)...
  local expected=$1 word
  shift
  [ "$code" = "$expected" ] || { cat "$log"; fail "$name: exit code $code, expected $expected"; }
  for word in "$@"; do
    case $word in
      !*) ! grep -qF -- "${word#!}" "$log" || { cat "$log"; fail "$name: unexpected: ${word#!}"; } ;;
      *) grep -qF -- "$word" "$log" || { cat "$log"; fail "$name: not in the output: $word"; } ;;
    esac
  done
}

# --- cases ----------------------------------------------------------------------------------------

# The project and the compiled code are mounted at their own paths, so that cargo finds them up to
# date.
bookworm_root() {
  open_system bookworm
  clone root
  as root scripts/prerequisites.sh
  expect 0 "missing: a C compiler" "missing: libclang" "installing: "
  as root scripts/prerequisites.sh
  expect 0 "!missing" "!installing"
  mkdir -p "$system$PROJECT" "$system$CACHE" "$system${CARGO_HOME:-$HOME/.cargo}"
  mount --bind "$PROJECT" "$system$PROJECT"
  mount --bind "$CACHE" "$system$CACHE"
  mount --bind "${CARGO_HOME:-$HOME/.cargo}" "$system${CARGO_HOME:-$HOME/.cargo}"
  as root env XDG_CACHE_HOME="${CACHE%/*}" CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" make -C "$PROJECT" demo
  expect 0 "!rocksdb: compiling"
  compiled=$(grep -c Compiling "$log" || true)
  say "$name: make demo took $((SECONDS - started)) s and compiled $compiled crates"
}

trixie_root() {
  open_system trixie
  clone root
  crates root
  as root scripts/prerequisites.sh
  expect 0 "missing: libclang" "installing: "
  as root scripts/rocksdb.sh bindings
  expect 0
}

bookworm_sudo() {
  open_system bookworm
  install sudo
  echo 'newcomer ALL=(ALL) NOPASSWD: ALL' >"$system/etc/sudoers.d/newcomer"
  clone newcomer
  as newcomer make prerequisites
  expect 0 "missing: libclang" "installing: "
}

trixie_user() {
  open_system trixie
  clone newcomer
  as newcomer make demo
  expect 2 "missing: a C compiler" "missing: a compiler for C++20" "missing: libclang" \
    "To install, run as root:  apt-get update && apt-get install -y gcc g++ libc6-dev libclang-dev" "!Compiling"
  as newcomer make test
  expect 2 "To install, run as root:  apt-get update && apt-get install -y gcc g++ libc6-dev libclang-dev" "!Compiling"
}

cpp_only() {
  open_system bookworm
  install gcc g++ libc6-dev libclang-cpp14 sudo
  clone newcomer
  as newcomer make demo
  expect 2 "missing: libclang" "To install, run:  sudo apt-get update && sudo apt-get install -y libclang-dev" \
    "!missing: a C compiler" "!Compiling"
}

no_headers() {
  open_system bookworm
  install gcc g++ libc6-dev libclang1-14
  rm -rf "$system"/usr/lib/llvm-14/lib/clang/*/include "$system"/usr/lib/clang/*/include
  clone root
  crates root
  as root scripts/prerequisites.sh
  expect 0 "!missing"
  as root scripts/rocksdb.sh bindings
  expect 0 "bindgen cannot use the libclang that it finds" "installing: libclang-dev"
}

# A library with this name but none of libclang's functions, in a version that the search prefers.
old_libclang() {
  open_system bookworm
  install gcc g++ libc6-dev libclang-dev
  echo 'int clang_of_long_ago;' >"$system/tmp/old.c"
  chroot "$system" gcc -shared -o /usr/local/lib/libclang.so.99 /tmp/old.c
  clone root
  crates root
  as root scripts/rocksdb.sh bindings
  expect 0 "bindgen cannot use the libclang that it finds"
  as root scripts/rocksdb.sh bindings
  expect 0 "!bindgen cannot"
  as root env LIBCLANG_PATH=/usr/local/lib/libclang.so.99 scripts/rocksdb.sh bindings
  expect 1 "the libclang of LIBCLANG_PATH=/usr/local/lib/libclang.so.99 cannot be used by bindgen" "unset LIBCLANG_PATH"
}

no_venv() {
  open_system bookworm
  install gcc g++ libc6-dev libclang-dev python3-minimal nodejs
  clone newcomer
  as newcomer make prerequisites
  expect 0 "!missing"
  as newcomer make proto
  expect 0 "proto: skipped: "
  as newcomer env CI=true make prerequisites
  expect 2 "missing: python3 lacks the modules venv and ensurepip" "missing: npm is missing" "python3-venv"
}

from_nothing() { # suite
  open_system "$1"
  clone root
  crates root
  as root make demo
  expect 0
  say "$name: make demo took $((SECONDS - started)) s; $(grep -o 'parts, .*' "$log" | tail -n 1)"
  as root cargo build --release --locked
  expect 0 "!rocksdb: compiling"
  say "$name: cargo build --release took $((SECONDS - started)) s"
  as root make test
  expect 0
  say "$name: make test took $((SECONDS - started)) s"
}

full_bookworm() { from_nothing bookworm; }
full_trixie() { from_nothing trixie; }

# --- main -----------------------------------------------------------------------------------------

selected=()
case ${1:-} in
  '') for entry in "${CASES[@]}"; do selected+=("${entry%%:*}"); done ;;
  ci) selected=(bookworm_sudo trixie_user cpp_only no_venv) ;;
  full) for entry in "${FULL[@]}"; do selected+=("${entry%%:*}"); done ;;
  list)
    printf '%s\n' "${CASES[@]}" "${FULL[@]}" | sed 's/:/: /'
    exit
    ;;
  *) selected=("$@") ;;
esac

[ "$(id -u)" = 0 ] || fail "chroots need root"
command -v debootstrap >/dev/null 2>&1 || scripts/prerequisites.sh install debootstrap "debootstrap, for bare systems"

for suite in bookworm trixie; do make_system "$suite"; done

# The inner process, which runs the case. The outer process creates and deletes the folder.
if [ -n "${TIDINGS_BARE_SYSTEM:-}" ]; then
  system=$TIDINGS_BARE_SYSTEM
  name=${selected[0]}
  "$name"
  exit
fi

for name in "${selected[@]}"; do
  declare -F "$name" >/dev/null || fail "unknown case $name; scripts/bare.sh list names the cases"
  system=$(mktemp -d "$SYSTEMS/$name.XXXXXX")
  started=$SECONDS
  result=0
  TIDINGS_BARE_SYSTEM=$system unshare --mount --propagation private "$0" "$name" || result=$?
  # `rm` would delete mounted files of the machine.
  ! grep -qF " $system/" /proc/self/mounts || fail "$system has mounts, and is not deleted"
  rm -rf --one-file-system "$system"
  [ "$result" = 0 ] || exit "$result"
  say "ok: $name, $((SECONDS - started)) s"
done
