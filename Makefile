# The daily habits. Each target that needs the environment makes it first; the first time
# that takes minutes (5 on two quiet cores, see docs/setup.md), later no time. Another Python:
# make env PYTHON=python3.12
PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
DEMO_ARGS ?=
TEST_ARGS ?=
# Modules are spread over processes, each of which computes with one thread.
TEST_JOBS ?= 2

# Else every process compiles the libraries again, for 15 seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env repair doctor demo test fast lint format docs wheel clean

help: ## This list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1 | /' | column -t -s '|'

env: ## Make .venv (does nothing where it is ready)
	@command -v $(PYTHON) > /dev/null || { \
	  echo "There is no $(PYTHON). Debian: apt-get install python3 python3-venv python3-dev build-essential" >&2; exit 1; }
	@$(PYTHON) tools/misc/setup_env.py

repair: ## Look at every part of .venv again and mend what is broken
	@$(PYTHON) tools/misc/setup_env.py --recheck

doctor: ## Say what is right and wrong with the environment
	@$(PYTHON) tools/misc/doctor.py

demo: env ## Train a small Mask2Former on the CPU, evaluate it, write pictures and scores
	$(VENV_PYTHON) tools/misc/demo.py $(DEMO_ARGS)

test: lint ## Style, import rules and all tests; one part: make test TEST_ARGS=tests/test_ops
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n $(TEST_JOBS) --dist loadfile $(TEST_ARGS)

fast: lint ## The same without the slow tests
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n $(TEST_JOBS) --dist loadfile -m "not slow" $(TEST_ARGS)

lint: env ## Style (ruff) and import rules (import-linter)
	$(VENV_PYTHON) -m ruff check .
	.venv/bin/lint-imports

format: env ## Mend what ruff can mend
	$(VENV_PYTHON) -m ruff check --fix .

docs: env ## Build the documentation into docs/_build, every example block executed
	$(VENV_PYTHON) -m pytest -q tests/test_misc/test_docs.py
	$(VENV_PYTHON) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

wheel: env ## A wheel with configs and tools in it, under dist
	$(VENV_PYTHON) -m pip wheel --no-deps --no-build-isolation -w dist .

clean: ## Remove what was generated, except .venv, data and work_dirs
	rm -rf build dist *.egg-info docs/_build docs/_generated .pytest_cache .ruff_cache .import_linter_cache
	find unimask tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} +
