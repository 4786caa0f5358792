# make demo    installs into .venv and runs the demonstration
# make test    installs into .venv and runs linter, type checker and all tests
# make docs    installs into .venv and builds the documentation: site/index.html

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Modules are compiled when they are first imported, and kept, not all 20,000 of them at the installation.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test docs install format clean

demo: install
	$(BIN)/infoplane demo

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# The type checker works beside the tests, and has the last word.
	$(BIN)/mypy > .mypy.txt 2>&1 & types=$$!; $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder; \
	  tests=$$?; wait $$types; typed=$$?; cat .mypy.txt; rm .mypy.txt; exit $$((tests + typed))

docs: install
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs site
	@echo site/index.html

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "infoplane needs Python 3.11 or newer; name one: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev,attacks,autoattack,lightning,transformers,trackers,ray,slurm,docs]'
	touch $@

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site
