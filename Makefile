# Everything from a fresh machine: `make quickstart`, `make test`. Needs Python 3.11 or newer and a package index, nothing else.
# The environment is .venv; it is made again when pyproject.toml or constraints.txt change. Another place: make VENV=/elsewhere test
# Another package index (one with a small CPU build of torch, say): make PIP_FLAGS="--extra-index-url ..." quickstart

VENV ?= .venv
PIP_FLAGS ?=
# One process a core, one thread each: tests are many and small.
PYTEST_FLAGS ?= -n auto
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
STAMP := $(VENV)/.made
EXAMPLE := tunesmith/examples/tickets.csv
# Offline by default: nothing below needs more than the package index that the environment came from.
export HF_HUB_OFFLINE ?= 1

.PHONY: help quickstart test lint type bench docs example environment clean
.DEFAULT_GOAL := help

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer with venv was not found; set PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

environment: $(STAMP)  ## .venv with the tested versions

quickstart: $(STAMP)  ## a real fine-tune on the bundled example, offline, and where its report is
	$(BIN)/tunesmith fit $(EXAMPLE) --empty drop --merge-labels

test: $(STAMP)  ## the whole suite
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check .

type: $(STAMP)  ## mypy, strict on the lower floors
	$(BIN)/mypy

bench: $(STAMP)  ## the tables in benchmarks/ (hours; needs the data sets beside the project)
	$(BIN)/python benchmarks/quality.py

docs: $(STAMP)  ## docs/reference.md from the settings
	$(BIN)/python tools/make_reference.py

example: $(STAMP)  ## the bundled example from its phrases
	$(BIN)/python tools/make_example.py

clean:  ## remove the environment and what tools leave behind (never runs/)
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
