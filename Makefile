# One verb a target. Each makes the virtual environment it needs, and installs what it needs in it:
# a stamp file for each set of dependencies, out of date when pyproject.toml has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench docs

# Serve an example app, and print its console's address and a curl line that asks it. PORT=… for another port than 8000.
demo: $(VENV)/installed
	$(BIN)/python examples/starlette_app/app.py

test: $(VENV)/installed-test
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist loadfile
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

lint: $(VENV)/installed-lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# BLAS with threads of its own makes the figures of two runs differ. PEERS=1 measures other servers too:
# 3 GB of environments below .bench/, made once.
bench: $(VENV)/installed-bench
	for script in bench/*.py; do \
	  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python $$script || exit 1; \
	done

docs: $(VENV)/installed-docs
	$(BIN)/mkdocs build --strict

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "modelgate needs Python 3.11 or later: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	touch $@

$(VENV)/installed: pyproject.toml $(VENV)/made
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@

$(VENV)/installed-%: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group $*
	touch $@
