#!/usr/bin/env bash
# Checks the prerequisites to build Tidings, and in CI to test it from other languages. Installs
# missing packages with apt-get if it may (as root, or with sudo that asks for no password);
# otherwise one message names all of them, with the command to run. The checks run the tools: a
# compiler must compile, a Python must create a venv.
#
#   scripts/prerequisites.sh                            all prerequisites
#   scripts/prerequisites.sh install PACKAGE REASON     one Debian package that another script needs
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CARGO_MINIMUM=1.89

missing=()   # Debian packages
reasons=()
hints=()     # prerequisites that apt-get does not provide

need() { # package, reason
  missing+=("$1")
  reasons+=("$2")
}

have() { command -v "$1" >/dev/null 2>&1; }

at_least() { # minimum, version
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

check_rust() {
  if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then
    hints+=("cargo is in ~/.cargo/bin, which is not in PATH: run  . \"\$HOME/.cargo/env\"")
    return
  fi
  if ! have cargo; then
    hints+=("Rust $CARGO_MINIMUM or newer is missing: install it with rustup, https://rustup.rs")
    return
  fi
  local version
  if ! version=$(cargo --version 2>&1); then
    hints+=("cargo does not run: ${version%%$'\n'*}: run  rustup default stable")
    return
  fi
  version=$(awk '{ print $2 }' <<<"$version")
  at_least "$CARGO_MINIMUM" "$version" ||
    hints+=("cargo is $version; the minimum is $CARGO_MINIMUM: run  rustup update stable")
  # Rustup's minimal profile does not include them.
  if [ "${CI:-}" = true ]; then
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
      hints+=("cargo fmt or cargo clippy is missing: run  rustup component add rustfmt clippy")
  fi
}

compiles() { # compiler, flags...
  local folder
  folder=$(mktemp -d)
  local result=0
  "$@" -o "$folder/program" - >/dev/null 2>&1 || result=1
  rm -rf "$folder"
  return $result
}

# A name in PATH proves little: clang++ may lack a standard library, and gcc is installed without
# g++.
check_compilers() {
  have make || need make "make, for jemalloc"
  compiles "${CC:-cc}" -x c <<<$'#include <stdio.h>\nint main(void) { return puts("") < 0; }' ||
    need gcc "a C compiler that links programs (${CC:-cc} does not), for linking and for zstd, LZ4 and jemalloc"
  compiles "${CXX:-c++}" -std=c++20 -x c++ <<<$'#include <string>\nint main() { return std::string().size(); }' ||
    need g++ "a compiler for C++20 (${CXX:-c++} is not one, or lacks its library), for RocksDB"
  # Both packages only recommend the headers of the C library.
  [ ${#missing[@]} = 0 ] || need libc6-dev "the headers of the C library"
}

# Only checks that a libclang exists; scripts/rocksdb.sh checks that bindgen can use it.
# libclang-cpp and libclang_rt are other libraries.
check_libclang() {
  case "$(uname -s)" in
    Darwin)
      [ -n "${LIBCLANG_PATH:-}" ] || xcode-select --print-path >/dev/null 2>&1 ||
        hints+=("libclang is missing: run  xcode-select --install")
      return
      ;;
  esac
  local -a folders=(/usr/lib* /usr/local/lib*)
  local paths=${LIBCLANG_PATH:-}:${LD_LIBRARY_PATH:-}:${LIBRARY_PATH:-} prefix
  if prefix=$("${LLVM_CONFIG_PATH:-llvm-config}" --prefix 2>/dev/null); then
    paths=$paths:$prefix
  fi
  local folder
  while IFS= read -r -d : folder; do
    [ -z "$folder" ] || folders+=("$folder")
  done <<<"$paths:"
  local found
  found=$(find -L "${folders[@]}" -maxdepth 4 \( -name 'libclang.so*' -o -name 'libclang-*.so*' \) \
    ! -name '*-cpp.*' -print -quit 2>/dev/null) || true
  [ -n "$found" ] || need libclang-dev "libclang, for the bindings of RocksDB"
}

# The tests from other languages. Only CI requires them; elsewhere they are skipped with a message.
check_clients() {
  [ "${CI:-}" = true ] || return 0
  local package reason
  while IFS=$'\t' read -r package reason; do
    if [ "$package" = - ]; then
      hints+=("$reason, for the tests from other languages; Debian's package is too old")
    else
      need "$package" "$reason, for the tests from other languages"
    fi
  done < <(scripts/toolchain.sh git curl jq go node npm java mvn python3 chromium)
}

# As root, or with sudo that asks for no password; otherwise it fails.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

may_install() {
  have apt-get || return 1
  [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

# Installs all missing packages, or names them in one message.
install_or_report() {
  local i
  for i in "${!missing[@]}"; do
    echo "missing: ${reasons[$i]} (Debian package ${missing[$i]})" >&2
  done
  for i in "${!hints[@]}"; do
    echo "missing: ${hints[$i]}" >&2
  done
  if [ ${#missing[@]} != 0 ] && ! may_install; then
    local packages=${missing[*]}
    if ! have apt-get; then
      echo "Install these with your system's package manager, and try again." >&2
    elif have sudo; then
      echo "To install, run:  sudo apt-get update && sudo apt-get install -y $packages" >&2
    else
      echo "To install, run as root:  apt-get update && apt-get install -y $packages" >&2
    fi
    exit 1
  fi
  if [ ${#missing[@]} != 0 ]; then
    echo "installing: ${missing[*]}" >&2
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  fi
  [ ${#hints[@]} = 0 ] || exit 1
}

case ${1:-all} in
  all)
    check_rust
    check_compilers
    check_libclang
    check_clients
    ;;
  install) need "${2:?"the package is missing"}" "${3:?"the reason is missing"}" ;;
  *)
    echo "usage: scripts/prerequisites.sh [install PACKAGE REASON]" >&2
    exit 2
    ;;
esac
install_or_report
