# make quickstart   install and run a first sweep        make test   install what tests need and run them
# make lint         ruff, mypy --strict, import layers   make lock   pin requirements.lock anew
# make test-faults  break everything, everywhere
# make audit        security rules, known vulnerabilities of the pinned packages
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart install test test-faults lint audit lock

install: $(VENV)/.installed

# Hashed pins first, then sweeper itself without looking for anything more.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sweeper needs Python 3.11: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

quickstart: install
	$(BIN)/sweeper run experiments/quickstart.yaml

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Every fault at every place, and what must hold for any input with thousands of inputs: an hour and more. `make test`
# injects a few of them.
ANY_INPUT := $(patsubst %,tests/test_%.py,reading space trial names store exports exports_markup page cells results)

test-faults: install
	$(BIN)/python -m pytest tests/faults $(ANY_INPUT) --long --timeout 7200 -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known vulnerabilities of every pinned package, asked of the package index's own database, so it needs a network.
audit: install
	$(BIN)/ruff check --select S .
	$(BIN)/uv tool run pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

lock:
	$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --quiet --output-file requirements.lock
