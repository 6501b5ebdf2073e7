#!/usr/bin/env bash
# Checks that toolchains are installed and complete: a Python with venv, a JDK instead of a JRE, a
# Go that is new enough. Prints a line for each that is not, `PACKAGE<tab>REASON` (a Debian package,
# or - if Debian's is too old), and ends with 1.
#
#   scripts/toolchain.sh go node npm java mvn python3 chromium jq git curl bash
set -uo pipefail
cd "$(dirname "$0")/.."

readonly GO_MINIMUM=1.25 NODE_MINIMUM=20 JAVA_MINIMUM=17 PYTHON_MINIMUM=3.10

complete=true

missing() { # package, reason
  printf '%s\t%s\n' "$1" "$2"
  complete=false
}

have() { command -v "$1" >/dev/null 2>&1; }

at_least() { # minimum, version
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

new_enough() { # program, minimum, version
  at_least "$2" "$3" || missing - "$1 is version ${3:-unknown}; the minimum is $2"
}

check() { # name
  case $1 in
    go)
      # In a module of the tests: Go since 1.21 fetches the version that the module requires.
      if have go; then
        new_enough go "$GO_MINIMUM" "$(cd tests/clients/tools && go env GOVERSION 2>/dev/null | sed 's/^go//')"
      else
        missing golang-go "go is missing"
      fi
      ;;
    node)
      if have node; then
        new_enough node "$NODE_MINIMUM" "$(node --version 2>/dev/null | tr -d v)"
      else
        missing nodejs "node (Node.js) is missing"
      fi
      ;;
    java)
      if have javac; then
        new_enough javac "$JAVA_MINIMUM" "$(javac -version 2>&1 | awk '{ print $2 }')"
      elif have java; then
        missing default-jdk-headless "java is a runtime without its compiler, javac"
      else
        missing default-jdk-headless "java is missing"
      fi
      ;;
    npm) npm --version >/dev/null 2>&1 || missing npm "npm is missing, or does not run" ;;
    mvn) have mvn || missing maven "mvn (Maven) is missing" ;;
    python3)
      if ! have python3; then
        missing python3-venv "python3 is missing"
      elif ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        missing python3-venv "python3 lacks the modules venv and ensurepip"
      else
        new_enough python3 "$PYTHON_MINIMUM" "$(python3 -c 'import platform; print(platform.python_version())')"
      fi
      ;;
    *) have "$1" || missing "$1" "$1 is missing" ;;
  esac
}

for name in "$@"; do
  check "$name"
done
$complete
