# From a bare clone (Python 3.10+, make): `make demo`, `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first Python of 3.10 or newer on PATH: PYTHON=… names another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PYTEST_ARGS ?=
# Most tests wait: for a cycle, a time-out, a signal's end. PARALLEL= runs them one after the other.
PARALLEL ?= -n 4 --dist loadfile

.PHONY: help demo test test-quick faults check docs bench smoke clean postgres postgres-quick

help: ## What there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-12s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.demo ## The whole product on this machine: a PostgreSQL, the daemon, the web page (Ctrl+C ends it)
	@exec $(BIN)/python pgdoctor.py demo

# Whoever wants no .pyc files wants these all the same: else each process rewrites each test.
test test-quick: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.dev postgres ## The whole suite, on PostgreSQL 12 to 18 (PYTEST_ARGS=… goes to pytest)
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

test-quick: $(VENV)/.dev postgres-quick ## The suite on PostgreSQL 12, 15 and 18
	$(BIN)/python -m pytest $(PARALLEL) --majors 12,15,18 $(PYTEST_ARGS)

faults: $(VENV)/.dev postgres-quick ## Every fault in full, with its figures: docs/reliability.md (about an hour)
	$(BIN)/python -m pytest tests/faults --full --majors 12,15,18 $(PYTEST_ARGS)

check: $(VENV)/.dev ## The linters: ruff, mypy --strict, the order of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict pgdoctor_lib
	$(BIN)/lint-imports

docs: $(VENV)/.dev ## docs/snapshot.md and its schema, from the collectors
	$(BIN)/python docs/build.py

bench: $(VENV)/.dev postgres-quick ## What a cycle costs: CPU, memory, statements, bytes
	$(BIN)/python -m bench

smoke: $(VENV)/.dev postgres-quick ## Install and run on each Python 3.10 to 3.13 of this machine
	@$(PYTHON) tests/smoke/run.py

clean: ## Remove what was made here (the fetched PostgreSQL servers stay)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A server that cannot be had is told, and its tests are skipped loudly (in CI they fail): not this step.
postgres: $(VENV)/.dev
	@$(BIN)/python tests/postgres/fetch.py || true

postgres-quick: $(VENV)/.dev
	@$(BIN)/python tests/postgres/fetch.py --majors 12,15,18 || true

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10 or newer found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.dev: $(VENV)/.made setup.py
	$(PIP) install -e '.[dev,browser]'
	@touch $@

$(VENV)/.demo: $(VENV)/.made setup.py
	$(PIP) install -e '.[demo]'
	@touch $@
