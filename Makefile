# Every target does its own set-up: a fresh machine needs Python 3.11, pip, venv, make and git.

PYTHON ?= python3.11
PYTHON := $(shell command -v $(PYTHON) || command -v python3)
BIN := .venv/bin
SCENARIO ?= scenarios/three_books.toml

.PHONY: run test test-slow lint format docs bench lock clean

run: .venv/installed
	@$(BIN)/margin-stress run $(SCENARIO)

test: .venv/installed
	@$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: .venv/installed
	@$(BIN)/python -m pytest -m slow

lint: .venv/installed
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/installed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python notebooks/strip.py

# needs no network, and neither do its pages; `python -m http.server -d build/site` lets one search
docs: .venv/installed
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "the site: build/site/index.html"

bench: .venv-bench/installed
	@.venv-bench/bin/python -m benchmarks

# the lock file holds one version and its hashes for every Python from 3.11 on
lock:
	@uv pip compile --universal --python-version 3.11 --extra calibrate --extra zarr --extra cluster --extra exchanges --group dev \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet \
		pyproject.toml --output-file requirements.lock
	@uv pip compile --universal --python-version 3.11 --group bench --constraint requirements.lock \
		--extra calibrate --extra zarr --extra cluster --extra exchanges --group dev \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet \
		pyproject.toml --output-file requirements-bench.lock

.venv/installed: requirements.lock pyproject.toml
	@test -d .venv || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

# peers of the benchmark stay out of the project's own environment
.venv-bench/installed: requirements-bench.lock pyproject.toml
	@test -d .venv-bench || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements-bench.lock
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

clean:
	@rm -rf .venv .venv-bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
