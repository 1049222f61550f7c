# What one can do here. Each target does whatever set-up it lacks.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help setup demo test check peers browser bench fuzz lock format docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready ## Create .venv, install the command at .venv/bin/leadapron, and the console's browser parts
	@scripts/browser

demo: setup ## Scan a simulated street on this machine and show what stands open (under two minutes)
	@$(BIN)/leadapron demo

test: $(VENV)/.ready-dev peers browser ## Install the peers that are missing, then run every test
	$(BIN)/python -m pytest -n 3 --dist loadfile $(PYTEST_ARGS)

check: $(VENV)/.ready-dev ## Lint, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

peers: ## Install the independent peers of the tests (DCMTK, Orthanc, nmap, Chromium)
	@scripts/peers

browser: ## Lay down the console's browser parts from npm (htmx, uPlot, the map)
	@scripts/browser --needed

bench: $(VENV)/.ready-dev peers ## Measure side by side with the peers; results go to bench/results/
	$(BIN)/python -m bench $(BENCH_ARGS)

fuzz: $(VENV)/.ready-dev ## Fuzz each reader for FUZZ_SECONDS (60)
	@for target in fuzz/fuzz_*.py; do \
	  name=$$(basename $$target .py); echo "== $$name, $(FUZZ_SECONDS) s"; mkdir -p build/$$name; \
	  $(BIN)/python $$target build/$$name fuzz/corpus/$${name#fuzz_} -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 || exit 1; \
	done

lock: $(VENV)/.ready-dev ## Pin the dependencies anew (needs uv)
	$(BIN)/python -m pip install --quiet uv
	scripts/lock $(BIN)/uv

format: $(VENV)/.ready-dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.ready-dev ## Bring the generated pages of docs/ up to date
	$(BIN)/python -m leadapron.watch.measure.judge.catalogue docs/findings.md
	$(BIN)/python tests/lab/test_docs.py
	$(BIN)/python tests/docs/test_pages.py

clean: ## Remove what was built; data of scans stays
	rm -rf $(VENV) src/leadapron/console/browser/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@scripts/venv $(PYTHON) $(VENV)

$(VENV)/.ready: $(BIN)/python requirements.lock pyproject.toml
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@; echo "The command is $(BIN)/leadapron"

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.lock
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
