# One target folder, which outlives the clone: demo, tests and CI share what is compiled. RocksDB is compiled once for
# every profile, into the same cache. Set CARGO_TARGET_DIR to have the target folder elsewhere.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidings
export CARGO_TARGET_DIR ?= $(CACHE)/target
export TIDINGS_TOOLS ?= $(CACHE)/tools

.PHONY: help demo test lint format clippy proto docs bench bare build rocksdb prerequisites
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## What can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1: \2/p' $(firstword $(MAKEFILE_LIST))

demo: build ## A server on an empty directory, an order flow through it, a subscriber that catches up and follows
	@scripts/demo.sh "$(CARGO_TARGET_DIR)/debug/tidings"

test: lint ## Everything that CI runs: formatting, lints, the contract, documentation, all tests
	cargo test --workspace --no-fail-fast
	@[ "$${CI:-}" != true ] || $(MAKE) --no-print-directory bare

bare: prerequisites ## The prerequisites in bare Debian systems (as root; scripts/bare.sh has the rest)
	@scripts/bare.sh ci

lint: rocksdb format clippy proto docs ## All but the tests

format:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

proto: ## Lints the contract with buf
	@scripts/lint-proto.sh

# For those who work on it: private items too, and links to them.
docs:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --document-private-items

bench: build ## The benches, with their limits measured beside them
	cargo bench

build: rocksdb ## The binary, in the profile that the tests use
	@scripts/step.sh build cargo build

rocksdb: prerequisites ## RocksDB, once: about 8 minutes on two cores
	@scripts/rocksdb.sh

prerequisites:
	@scripts/prerequisites.sh
