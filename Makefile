# make demo · make test · make bench · make lint: each sets up .venv first, once.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test test-all test-gpu bench lint format clean

demo: .venv/base.stamp
	$(BIN)/f3rm-sweeps demo --output out/demo

test: .venv/dev.stamp
	$(BIN)/pytest

test-all: .venv/dev.stamp
	$(BIN)/pytest -m "not gpu"

test-gpu: .venv/dev.stamp
	$(BIN)/pytest -m gpu

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv out

.venv/base.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "make: needs Python 3.11 with venv; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(BIN)/pip install --quiet --no-input --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev.stamp: .venv/base.stamp
	$(BIN)/pip install --quiet --no-input --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
