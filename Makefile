# make quickstart   install and run a first sweep        make test   install what tests need and run them
# make lint         ruff, mypy --strict, import layers   make lock   pin requirements.lock anew
# make test-faults  break everything, everywhere
# make test-services  sweeps on PostgreSQL, MLflow with users, S3 and a Ray cluster, as docker/compose.yaml runs them
# make audit        security rules, known vulnerabilities of the pinned packages
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --quiet

.PHONY: quickstart install test test-faults test-services lint audit lock

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
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/services

# Every fault at every place, and what must hold for any input with thousands of inputs: an hour and more. `make test`
# injects a few of them.
ANY_INPUT := $(patsubst %,tests/test_%.py,reading space trial names store exports exports_markup page cells results)

test-faults: install
	$(BIN)/python -m pytest tests/faults $(ANY_INPUT) --long --timeout 7200 -n 2

# What cannot be installed here is skipped by name.
SERVICES := tests/services
test-services: install
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; }; \
		apt-get install -y -qq iproute2 util-linux wget >/dev/null; \
	fi || echo "Debian's packages cannot be installed here"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tests/services/requirements.lock
	$(BIN)/python -m pytest $(SERVICES) --timeout 1500 -rs

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known vulnerabilities of every pinned package, asked of the package index's own database, so it needs a network.
audit: install
	$(BIN)/ruff check --select S .
	$(BIN)/uv tool run pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock || \
		{ echo "make audit: see above; without an answer from the database of vulnerabilities nothing is known of the packages" >&2; exit 1; }

lock:
	$(COMPILE) pyproject.toml --extra dev --extra s3 --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra s3 --extra cluster --constraint requirements.lock --output-file docker/requirements.lock
	for folder in docker/mlflow tests/services; do \
		$(COMPILE) $$folder/requirements.in --constraint requirements.lock --output-file $$folder/requirements.lock || exit; \
	done
