# One command each; .ci/run calls the same ones.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test style types floors tests prove compare clean

# Sets up and runs the main job: three services behind a gateway, and lines to try.
demo: $(VENV)/ready
	$(BIN)/gwd demo

# Sets up and runs everything that must hold.
test: style types floors tests

style: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready-test
	$(BIN)/mypy

floors: $(VENV)/ready-test
	$(BIN)/lint-imports

tests: $(VENV)/ready-test
	$(BIN)/pytest -n 4 --dist loadfile

# Everything at full length: soaks, races and fuzzing too. Half an hour or more.
prove: $(VENV)/ready-test
	GWD_PROVE=1 $(BIN)/pytest --timeout 3600

# What a request costs beside the peers that are installed (wrk is needed).
compare: $(VENV)/ready-test
	$(BIN)/python -m loadtests.compare

$(VENV)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e .
	touch $@

$(VENV)/ready-test: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
