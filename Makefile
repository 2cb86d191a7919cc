# The targets that people and CI call. Each stage prints how long it took.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# $(call stage,NAME,COMMAND)
define stage
start=$$(date +%s); echo "== $(1)"; $(2); echo "== $(1): $$(( $$(date +%s) - start )) s"
endef

.PHONY: help setup demo test lint features cross-check unit python node jvm ruby conformance fuzz-quick e2e race crash soak keycloak \
	fuzz model mutations security build wheel npm jar gem swift bench bench-quick

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## installs what the tests need (quick the second time)
	@$(call stage,setup,scripts/setup.sh)

demo: ## starts the sandbox, signs in twice, makes a call and explains it
	@scripts/setup.sh demo
	scripts/demo.sh

test: setup lint features cross-check unit python node jvm ruby conformance fuzz-quick e2e ## every test; what CI calls

# Python, Node and the JVM play the cases in their own stages, by their own test frameworks.
test: CONFORMANCE_ARGS ?= --language Rust --language Ruby

lint: setup ## formatting and lints, warnings are errors
	@$(call stage,lint,scripts/lint.sh)

features: ## the core with every subset of its features, and its documentation
	@$(call stage,features,scripts/features.sh)

cross-check: ## type-checks the code for Windows and macOS, which cannot run here
	@$(call stage,cross-check,scripts/cross-check.sh)

unit: setup ## the tests of the Rust crates, published vectors and the model among them
	@$(call stage,unit,cargo test --workspace --locked)

python: setup ## builds the Python package for tests, installs its wheel into .venv, compares its stubs with the code
	@$(call stage,python,scripts/python.sh install && scripts/python.sh stubs --check)

node: setup python ## builds the npm package for tests, compares its types with the code, runs its tests
	@$(call stage,node,scripts/node.sh install && scripts/node.sh types --check && scripts/node.sh test $(NODE_TEST_ARGS))

jvm: setup ## builds the Maven module for tests and runs them
	@$(call stage,jvm,scripts/jvm.sh install && scripts/jvm.sh runner && scripts/jvm.sh test $(JVM_TEST_ARGS))

ruby: setup ## builds the gem for tests and runs them
	@$(call stage,ruby,scripts/ruby.sh install && scripts/ruby.sh test)

conformance: python ## the language-neutral cases in every language; ends with a table
	@$(call stage,conformance: build,scripts/node.sh install && scripts/jvm.sh install && scripts/jvm.sh runner && scripts/ruby.sh install)
	target/debug/flyte-auth-peer $(CONFORMANCE_ARGS)

e2e: setup python ## end-to-end: real browser, real authorization server, real Flyte clients
	@$(call stage,e2e,cargo build --locked --workspace --bins --lib && scripts/jvm.sh example && .venv/bin/python -m pytest tests/e2e $(PYTEST_ARGS))

fuzz-quick: setup ## every parser of foreign bytes, coverage-guided, 30,000 executions each from a fixed seed
	@$(call stage,fuzz-quick,scripts/fuzz.sh)

# The long forms; `make e2e`, `make unit` and `make fuzz-quick` have the short ones.
suite = cargo build --locked --workspace --bins && .venv/bin/python -m pytest -s tests/e2e/$(1) $(PYTEST_ARGS)

race: setup ## 64 processes x 16 threads, ten times: one refresh, one login
	@for round in {1..10}; do $(call stage,race $$round,$(call suite,test_race.py tests/e2e/test_first_login.py)); done

crash: setup ## SIGKILL at every step of refresh and save, 1,000 seeded runs (CRASH_SEED)
	@export CRASH_RUNS=1000; $(call stage,crash,$(call suite,test_crash.py))

soak: setup ## ten minutes of tokens that live 10 s: nobody is ever served an expired one
	@export SOAK_SECONDS=600 SOAK_LIFETIME=10; $(call stage,soak,$(call suite,test_soak.py))

keycloak: setup ## `serve` with Keycloak as provider and authorization server (fetches 177 MB)
	@$(call stage,keycloak,scripts/keycloak.sh)

fuzz: setup ## every parser, coverage-guided, ten minutes each (FUZZ_TARGETS: some of them)
	@$(call stage,fuzz,scripts/fuzz.sh 600 $(FUZZ_TARGETS))

model: ## every history of three processes in the model of the refresh protocol; prints the states
	@$(call stage,model,cargo run --release --locked -p flyte-auth-model -- check --processes 3)

mutations: setup ## breaks the code in every listed way, one at a time: the tests must notice (MUTATIONS: some of them)
	@$(call stage,mutations,scripts/mutations.py $(MUTATIONS))

security: setup ## the security suites, the long ones too, and their table
	@$(call stage,security,scripts/security.py)

build: ## release build of the command line at target/release/flyte-auth
	@cargo build --release --locked -p flyte-auth-cli && scripts/check-release-features.sh target/release/flyte-auth

wheel: setup ## the Python package: a wheel and its source distribution into dist/
	@$(call stage,wheel,scripts/python.sh wheel)

npm: setup ## the npm package and this platform's native one into dist/npm/
	@$(call stage,npm,scripts/node.sh package)

jar: setup ## the Maven module with this platform's library into dist/jvm/
	@$(call stage,jar,scripts/jvm.sh package)

gem: setup ## the Ruby gem with this platform's library into dist/
	@$(call stage,gem,scripts/ruby.sh package)

swift: ## the Swift sources into dist/swift/; no compiler for them can be had here: they are not compiled
	@$(call stage,swift,scripts/uniffi.sh swift)

bench: build wheel npm jar ## benchmarks against named peers; writes dist/bench.json
	@scripts/python.sh bench && scripts/node.sh bench && scripts/jvm.sh bench && cargo build --release --locked -p flyte-auth-benches && target/release/flyte-auth-benches

bench-quick: build wheel npm jar ## the same with fewer runs
	@scripts/python.sh bench && scripts/node.sh bench && scripts/jvm.sh bench && cargo build --release --locked -p flyte-auth-benches && target/release/flyte-auth-benches --quick
