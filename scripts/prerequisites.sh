#!/usr/bin/env bash
# Sees that everything is there to build Tidings, and to test it from other languages. What apt-get can install, it
# installs where it may (root, or sudo that asks for no password); else it prints the command to run.
set -euo pipefail

readonly CARGO_MINIMUM=1.89

missing=()   # Debian packages
reasons=()
hints=()     # what no package manager of ours brings

need() { # package, reason
  missing+=("$1")
  reasons+=("$2")
}

have() { command -v "$1" >/dev/null 2>&1; }

any_file() { # globs that were left as they are match nothing
  local file
  for file in "$@"; do
    [ -e "$file" ] && return 0
  done
  return 1
}

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
  version=$(cargo --version | awk '{ print $2 }')
  at_least "$CARGO_MINIMUM" "$version" ||
    hints+=("cargo is $version, and $CARGO_MINIMUM or newer is needed: run  rustup update stable")
}

# RocksDB is compiled from source, and bindgen reads its header with libclang.
check_native() {
  have c++ || have g++ || have clang++ || need g++ "a C++ compiler, for RocksDB"
  have make || need make "make"
  case "$(uname -s)" in
    Darwin)
      [ -n "${LIBCLANG_PATH:-}" ] || any_file \
        /Library/Developer/CommandLineTools/usr/lib/libclang.dylib \
        /Applications/Xcode.app/Contents/Developer/Toolchains/*/usr/lib/libclang.dylib ||
        hints+=("libclang is missing: run  xcode-select --install")
      ;;
    *)
      [ -n "${LIBCLANG_PATH:-}" ] || any_file \
        /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-*.so* \
        /usr/lib/*-linux-gnu/libclang*.so* /usr/lib64/libclang.so* /usr/lib64/llvm*/lib/libclang.so* \
        /usr/lib/libclang.so* /usr/local/lib/libclang.so* /usr/local/lib/llvm*/lib/libclang.so* ||
        need libclang-dev "libclang, for the bindings of RocksDB"
      ;;
  esac
}

# The tests from other languages. Only CI insists; elsewhere they are skipped, and say so.
check_clients() {
  [ "${CI:-}" = true ] || return 0
  have git || need git "git, for the tests that read what is committed"
  have curl || need curl "curl, for the tests of HTTP"
  have node || need nodejs "Node.js, for its client and the linter of the contract"
  if have node && ! at_least 20 "$(node --version | tr -d v)"; then
    hints+=("node is $(node --version), and 20 or newer is needed, for the client in a browser: https://nodejs.org")
  fi
  have npm || need npm "npm, for its client and the linter of the contract"
  have java || need default-jdk-headless "a JDK, for the Java client"
  have mvn || need maven "Maven, for the Java client"
  have python3 || need python3 "Python, for its client and the independent decoders of schemas"
  python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv "Python's venv, for its client and the independent decoders of schemas"
  have chromium || need chromium "Chromium, for the client in a browser"
  have jq || need jq "jq, for the client that is grpcurl"
  if ! have go; then
    need golang-go "Go, for grpcurl and the Go client"
  fi
}

install_missing() {
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    sudo=(sudo)
    have sudo && sudo -n true 2>/dev/null || sudo=()
  fi
  local i
  for i in "${!missing[@]}"; do
    echo "missing: ${reasons[$i]} (Debian package ${missing[$i]})" >&2
  done
  if ! have apt-get; then
    echo "Install these with your system's package manager, and try again." >&2
    return 1
  fi
  if [ "$(id -u)" != 0 ] && [ ${#sudo[@]} = 0 ]; then
    echo "To install, run:  sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
    return 1
  fi
  echo "installing: ${missing[*]}" >&2
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

check_rust
check_native
check_clients

if [ ${#hints[@]} != 0 ]; then
  printf '%s\n' "${hints[@]}" >&2
  exit 1
fi
if [ ${#missing[@]} != 0 ]; then
  install_missing
fi
