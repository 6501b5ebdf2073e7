# One target folder outside of the clone: demo, tests and CI share the compiled code. RocksDB is
# compiled once for all profiles, into the same cache. CARGO_TARGET_DIR sets another target folder.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidings
export CARGO_TARGET_DIR ?= $(CACHE)/target
export TIDINGS_TOOLS ?= $(CACHE)/tools

.PHONY: help demo test lint format clippy proto docs bench bare build rocksdb prerequisites
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## Lists the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1: \2/p' $(firstword $(MAKEFILE_LIST))

demo: build ## A server on an empty directory, an order flow, a subscriber that catches up and follows
	@scripts/demo.sh "$(CARGO_TARGET_DIR)/debug/tidings"

test: lint ## Everything that CI runs: formatting, lints, the contract, documentation, all tests
	cargo test --workspace --no-fail-fast
	@[ "$${CI:-}" != true ] || $(MAKE) --no-print-directory bare

bare: prerequisites ## The prerequisites in bare Debian systems (as root; scripts/bare.sh has more cases)
	@scripts/bare.sh ci

lint: rocksdb format clippy proto docs ## Everything but the tests

format:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

proto: ## Lints the contract with buf
	@scripts/lint-proto.sh

# For contributors: private items too, and links to them.
docs:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --document-private-items

bench: build ## The benchmarks, with their limits measured in the same run
	cargo bench

build: rocksdb ## The binary, in the profile that the tests use
	@scripts/step.sh build cargo build

rocksdb: prerequisites ## RocksDB, once: about 8 minutes on two cores
	@scripts/rocksdb.sh

prerequisites:
	@scripts/prerequisites.sh
