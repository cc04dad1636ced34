# `make demo` and `make test` need nothing but a Python 3.10-3.12 and a package index.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Versions of the few packages whose newest release is gigabytes; see the file.
CONSTRAINTS ?= constraints.txt
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
IMAGE ?=

.PHONY: help demo serve test lint zoo-check bench clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/demo-installed  ## ONNX → real Triton → overlay on this machine; IMAGE=path for your own
	@$(BIN)/tritonseg demo $(IMAGE)

serve: $(VENV)/demo-installed  ## Serve what `tritonseg build` built
	@$(BIN)/tritonseg serve

test: $(VENV)/test-installed  ## All tests, with real servers
	$(BIN)/python -m pytest

lint: $(VENV)/test-installed  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

zoo-check: $(VENV)/test-installed  ## All six models at their cards' sizes; minutes each
	TRITONSEG_CARD_SIZES=1 $(BIN)/python -m pytest tests/e2e/test_zoo.py -s

bench: $(VENV)/test-installed  ## Latency of the ensemble against the engine alone and the naive way
	$(BIN)/python tests/benchmarks/latency.py --model hrnet
	$(BIN)/python tests/benchmarks/latency.py --model fastseg

clean:  ## Remove the environment and what the demo made
	rm -rf $(VENV) out .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo-installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing what the demo needs into $(VENV)"
	@$(INSTALL) -e '.[serve]'
	@touch $@

$(VENV)/test-installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing what the tests need into $(VENV)"
	@$(INSTALL) --upgrade 'pip>=25.1'  # the first that installs dependency groups
	@$(INSTALL) -e '.[serve,export]' --group test --group lint
	@touch $@
