# headrace: every target makes .venv first, so a fresh machine needs Python (3.11 or newer) and make.

PYTHON ?= python3
DEMO ?= demo
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 8

setup: $(STAMP)  ## make .venv with the exact versions of requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "headrace needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments; install its venv package (Debian: python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/headrace warm
	@touch $@

demo: setup  ## made-up support tickets to an adapter and demo/run/report.html (a few minutes; ROWS=600: sooner)
	$(BIN)/headrace demo $(DEMO)$(if $(ROWS), --rows $(ROWS))

test: setup  ## all tests, in two processes; those without their server or data say why they skip
	$(BIN)/pytest -n 2

check: setup  ## what CI runs: format, lint, types, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(MAKE) --no-print-directory test

bench: setup  ## the benchmarks; figures go to tests/benchmarks/
	$(BIN)/python -m tests.benchmarks

clean:  ## remove caches and the demo, keep .venv
	rm -rf $(DEMO) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
