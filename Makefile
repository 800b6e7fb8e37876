# make demo   the demonstration, from nothing
# make test   all tests, from nothing, by two processes (JOBS=1: by one)
# make lint   what the continuous integration checks before the tests

JOBS ?= 2
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.openmb-installed

.PHONY: demo test lint ruff format types layers kernels install clean

demo: kernels
	@$(VENV)/bin/openmb demo

test: kernels
	@$(PYTHON) -m tests.run --jobs $(JOBS)

lint: ruff format types layers

ruff: install
	$(VENV)/bin/ruff check

format: install
	$(VENV)/bin/ruff format --check

types: install
	$(VENV)/bin/mypy

layers: install
	$(VENV)/bin/lint-imports

kernels: install
	@$(PYTHON) -m openmb.warmup

install: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml tools/find_python.sh
	@if [ ! -x $(PYTHON) ]; then \
		python=$$(sh tools/find_python.sh) && echo "making $(VENV) with $$python" && "$$python" -m venv $(VENV); \
	fi
	@echo "installing OpenMB and what it needs into $(VENV) (a minute or two, once)"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find openmb tests tools twisted -name __pycache__ -prune -exec rm -rf {} +
