# Everything here runs on one Cargo profile and in one target folder, which outlives the clone: RocksDB is compiled once
# for demo, tests and CI. Set CARGO_TARGET_DIR to have it elsewhere.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidings
export CARGO_TARGET_DIR ?= $(CACHE)/target
export TIDINGS_TOOLS ?= $(CACHE)/tools

.PHONY: help demo test lint format clippy proto docs bench build prerequisites
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## What can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1: \2/p' $(firstword $(MAKEFILE_LIST))

demo: build ## A server on an empty directory, an order flow through it, a subscriber that catches up and follows
	@scripts/demo.sh "$(CARGO_TARGET_DIR)/debug/tidings"

test: lint ## Everything that CI runs: formatting, lints, the contract, documentation, all tests
	cargo test --workspace --no-fail-fast

lint: prerequisites format clippy proto docs ## All but the tests

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

build: prerequisites ## The binary, in the profile that the tests use
	cargo build

prerequisites:
	@scripts/prerequisites.sh
