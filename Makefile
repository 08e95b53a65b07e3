# The chores of this repository; `make help` lists them, and CI runs `make check`.

CARGO ?= cargo
# Programs that the chores need and the machine lacks are built into here, outside of the checkout.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sparkload/tools
# How long `make fuzz` spends on each fuzz target.
FUZZ_SECONDS ?= 60

# How many random histories `make soak` goes through.
SOAK_CASES ?= 200

# What `make bench-compare` compares the working tree with.
BASE ?= HEAD

export CARGO TOOLS FUZZ_SECONDS

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build demo demo-redshift test soak check format lint docs dependencies fuzz bench bench-compare clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s%s\n", $$1, $$2 }' Makefile

build: ## build the program: target/release/sparkload
	$(CARGO) build --release --locked

demo: ## load the fixtures from an S3 server in the process into the embedded PostgreSQL
	$(CARGO) build --locked --bin sparkload --example demo
	@$(CARGO) run --quiet --locked --example demo

demo-redshift: ## make a cluster in moto's AWS, and load the fixtures into a stand-in for Redshift
	@sh tests/postgres.sh
	@sh tests/moto.sh
	$(CARGO) build --locked --bin sparkload --example demo_redshift
	@$(CARGO) run --quiet --locked --example demo_redshift

test: ## install a PostgreSQL server, poolers and moto if the machine has none, and run all tests
	@sh tests/postgres.sh
	@sh tests/poolers.sh
	@sh tests/moto.sh
	$(CARGO) test --locked
	$(CARGO) test --locked --features failpoints --test failpoints

soak: ## run the tests that take long: many loads, kills and random histories
	@sh tests/postgres.sh
	PROPTEST_CASES=$(SOAK_CASES) $(CARGO) test --locked --test integration -- --nocapture --test-threads 1 \
		--include-ignored two_hundred a_hundred any_sequence

check: format lint test docs dependencies ## everything that CI checks

format: ## check that the code is formatted
	$(CARGO) fmt --check

lint: ## run clippy with warnings denied, with all features and with none
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings

docs: ## build the documentation with warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

dependencies: ## check the dependencies' licences, sources and known vulnerabilities
	@sh tests/dependencies.sh

fuzz: ## fuzz each target for FUZZ_SECONDS (60); needs a nightly toolchain
	@sh tests/fuzz.sh

bench: ## run the benchmarks; the largest loads take 12 GB of disk
	@sh tests/postgres.sh
	$(CARGO) bench --locked --features internals

bench-compare: ## fail if the working tree, or REVISION, is over 10 % slower than BASE (HEAD)
	@python3 benches/compare.py $(BASE) $(REVISION)

clean: ## remove what was built
	$(CARGO) clean
