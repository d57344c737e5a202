# Two commands for newcomers: `make demo` and `make test`. Each sets up .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow check format clean

demo: .venv/ready
	$(BIN)/xelm demo

test: check
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

test-slow: .venv/ready
	HF_HUB_OFFLINE=1 $(BIN)/pytest -m slow

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python benchmarks/tables.py --check

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One pip call, so that the cap on torch holds for everything that wants it.
.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "xelm needs Python 3.11 or newer"'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch .venv/ready

clean:
	rm -rf .venv runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
