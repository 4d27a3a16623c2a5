# Each target creates its virtual environment and installs its dependencies. Stamp files, one per group of
# dependencies, are out of date when pyproject.toml has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip would compile every module. Python compiles only those that are imported.
INSTALL := $(BIN)/python -m pip install --no-compile
ifneq ($(shell uv --version 2> /dev/null),)
INSTALL := uv pip install --python $(BIN)/python # takes a tenth of the time
endif

# Tests start hundreds of processes, and each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick hostile lowest lint fuzz mutants soak bench docs install

# Serve an example app; prints the URL of its console and a curl command. PORT=… sets the port (default 8000).
demo: $(VENV)/installed-demo
	$(BIN)/python examples/starlette_app/app.py

# Tests of lines that other tests run, too. Tracing each line would take half as long again, also in the servers
# that they start. Those that start servers come first, because the others use both cores until the end.
UNTRACED := $(addprefix tests/,browser servers hosts faults typing models properties conformance) README.md docs
# Files run in the order of the folders: by default, those with the most tests run first, and long ones alone at
# the end. One worker more than there are cores, because many tests wait for a server.
WORKERS := $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(PARALLEL) $(UNTRACED)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) $(addprefix --ignore=,$(UNTRACED))
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

# Tests without servers, browser, documents and long tests: less than a minute on two cores.
quick: $(VENV)/installed-test
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m 'not slow'

# About 2,000 hostile bodies with every key in every wire format, each followed by a good request: ten minutes. The
# other targets send a sample.
hostile: export MODELGATE_HOSTILE := all
hostile: $(VENV)/installed-test
	$(BIN)/python -m pytest -q -n auto tests/conformance/test_hostile_bodies.py

# The console in a browser and the number of bytecodes do not depend on the versions of libraries.
UNVERSIONED := $(addprefix tests/,browser unit/test_bytecodes.py)

# All other tests, with the lowest versions that pyproject.toml allows, without coverage. An old library warns of
# changes that came later. The storages of limits need a later version than the rest, whose tests run with the
# older one, too.
lowest: export PYTEST_ADDOPTS := -W ignore::FutureWarning
lowest:
	mkdir -p .venv-lowest
	$(PYTHON) .ci/lowest.py > .venv-lowest/constraints.txt
	$(MAKE) .venv-lowest/installed-test VENV=.venv-lowest \
	  PIP_OPTIONS='--constraint .venv-lowest/constraints.txt'
	.venv-lowest/bin/python -m pytest -q $(PARALLEL) $(addprefix --ignore=,$(UNVERSIONED))
	$(PYTHON) .ci/lowest.py core > .venv-lowest/core.txt
	.venv-lowest/bin/python -m pip install --quiet --no-deps --upgrade \
	  --target .venv-lowest/core -r .venv-lowest/core.txt
	PYTHONPATH=.venv-lowest/core .venv-lowest/bin/python -m pytest -q tests/layers tests/unit/test_windows.py

lint: $(VENV)/installed-lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# Search for inputs that break a decoder. TARGETS="npy gate" selects targets of tests/fuzz/targets.py, SECONDS is
# the time of each. Ends with the coverage of the decoders by all inputs that were found.
SECONDS ?= 300
FUZZED := */codecs/*,*/schema/*,*/models/archive.py,*/models/manifest.py,*/models/package*.py,*/dialects/*
fuzz: $(VENV)/installed-test $(VENV)/installed-fuzz
	$(BIN)/python tests/fuzz/run.py $(SECONDS) $(TARGETS)
	$(BIN)/coverage run --data-file=.coverage-fuzz tests/fuzz/run.py --replay
	$(BIN)/coverage combine -q --data-file=.coverage-fuzz
	$(BIN)/coverage report --data-file=.coverage-fuzz --include='$(FUZZED)' --fail-under=0

# Change the pure modules one expression at a time: does a test notice? MODULES="limiting.windows" selects some of
# tests/mutants.py. All take hours.
mutants: $(VENV)/installed-test $(VENV)/installed-mutants
	$(BIN)/python tests/mutants.py $(MODULES)

# Mixed good and hostile traffic to a real server, with plots of memory, latency and errors in soak.html.
MINUTES ?= 60
soak: $(VENV)/installed-test
	$(BIN)/python tests/soak.py $(MINUTES) soak.html

# BLAS threads would make figures differ between runs. PEERS=1 also measures other servers, in environments
# below .bench/ that are created once and take 3 GB.
bench: $(VENV)/installed-bench
	for script in bench/*.py; do \
	  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python $$script || exit 1; \
	done

docs: $(VENV)/installed-docs
	$(BIN)/mkdocs build --strict

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "modelgate needs Python 3.11 or later: run make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	touch $@

$(VENV)/installed: pyproject.toml $(VENV)/made
	$(INSTALL) --quiet $(PIP_OPTIONS) --editable '.[all]'
	touch $@

# Installs what all checks need at once, which is faster than group by group.
install: $(VENV)/made
	$(INSTALL) --quiet $(PIP_OPTIONS) --editable '.[all]' --group docs --group lint --group test
	touch $(VENV)/installed $(addprefix $(VENV)/installed-,docs lint test)

# Only what the demo needs. pip shows its progress.
$(VENV)/installed-demo: pyproject.toml $(VENV)/made
	$(INSTALL) --editable '.[images,pandas,serve,skops,sklearn,sql]'
	touch $@

$(VENV)/installed-%: $(VENV)/installed
	$(INSTALL) --quiet $(PIP_OPTIONS) --group $*
	touch $@
