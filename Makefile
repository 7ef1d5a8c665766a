# The two commands of a newcomer are `make run` and `make test`. They assume Python 3.11 or later, pip and make.
#
#   make run     makes the environment if needed and runs the embedded demo
#   make test    makes the environment if needed and runs every check and test
#   make lint    the checks alone
#   make dev     the environment for development alone
#   make docs    the documentation as a site, in site/
#   make walk    every sequence of three everyday commands on a finished project: no result may be lost
#
# PYTHON=python3.12 takes another interpreter, VENV=/some/folder another place for the environment,
# PIP_ARGS="..." adds options to every `pip install`, WORKERS=8 runs more tests at a time.

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() or 1))')
PYTEST_ARGS ?=
WALK ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip

.DEFAULT_GOAL := help
.PHONY: help run test lint format docs dev lock walk clean-env

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

run: $(VENV)/.run-ready ## run the embedded demo and print its verdict
	@$(BIN)/satpipe run all

test: lint ## run every check and test
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

lint: $(VENV)/.dev-ready ## run the checks alone
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev-ready ## format the code and mend what ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.dev-ready ## build the documentation in site/
	$(BIN)/python docs/make_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

dev: $(VENV)/.dev-ready ## make the environment for development

lock: $(VENV)/.pip-ready ## write requirements/locked*.txt anew, after a change of constraints.txt
	@$(PIP) install --quiet $(PIP_ARGS) uv
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python requirements/lock.py

walk: $(VENV)/.dev-ready ## walk all 1,728 sequences of three everyday commands, an hour or two (WALK="clean" for some)
	@PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python tests/reliability/sequences.py $(WALK)

clean-env: ## remove the environment
	rm -rf $(VENV)

# Debian's python3 comes without ensurepip unless python3-venv is installed. Then the environment is made without pip,
# and the pip that is there installs one into it.
$(VENV)/.pip-ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "satpipe needs Python 3.11 or later; name one, e.g. make run PYTHON=python3.12" >&2; exit 2; }
	@echo "making the environment in $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	  || { $(PYTHON) -m venv --without-pip $(VENV) \
	       && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@touch $@

$(VENV)/.run-ready: $(VENV)/.pip-ready pyproject.toml constraints.txt
	@echo "installing satpipe and what it needs; torch is large, so this can take minutes"
	@$(PIP) install --quiet $(PIP_ARGS) -c constraints.txt -e .
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.pip-ready pyproject.toml constraints.txt
	@echo "installing satpipe, what it needs and what its tests need (extras dev and interop); torch is large, so this can take minutes"
	@$(PIP) install --quiet $(PIP_ARGS) -c constraints.txt -e '.[dev,interop]'
	@touch $@ $(VENV)/.run-ready
