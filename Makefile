# Everything sets itself up: on a machine with Python 3.11 or later, `make demo` and `make test` need nothing else.
# PYTHON=/path/to/python3 chooses the interpreter (default: the distribution's own).

VENV := .venv/bin
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench plots soak release-check clean

help: ## show this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '  %-15s %s\n' "$$target" "$$text"; done

setup: ## make .venv with stentor and its tools (the others do it when needed)
	@bash .ci/setup

demo: setup ## run the daemon against a simulated SMSC and phones: messages in, receipts back, a table
	@$(VENV)/python -m bench.demo

test: setup ## run every test: types, style, layers, behaviour
	@$(VENV)/python -m pytest

lint: setup ## run only the checks of types, style and layers
	@$(VENV)/python -m pytest tests/test_types.py tests/test_layers.py tests/test_tidy.py tests/test_docs.py

bench: setup ## run the benchmark scenarios (bench/README.md)
	@$(VENV)/stentor bench

plots: setup ## draw the pictures of engine/SCHEDULING.md anew
	@$(VENV)/python -m bench.plots.draw

soak: setup ## run the same tests much longer, as every night
	@STENTOR_TEST_SCALE=nightly $(VENV)/python -m pytest

release-check: setup ## run the same tests longest, as before a release
	@STENTOR_TEST_SCALE=release $(VENV)/python -m pytest

clean: ## remove caches and what was built; .venv stays
	@rm -rf dist var .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
