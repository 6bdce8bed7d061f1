# One command each; .ci/run calls the same ones.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COMPILED ?= .venv-compiled
TESTS_COMPILED ?= tests/compiled tests/http tests/upstream tests/worker tests/routing \
	tests/segment tests/policies tests/tls tests/test_clock.py tests/end_to_end/http \
	$(addprefix tests/end_to_end/test_,keep_alive.py streaming.py retries.py access_log.py fuzz.py \
	tls.py secure_streams.py websocket.py sse.py proxy_protocol.py back_pressure.py time_outs.py \
	hostile_peers.py)

.PHONY: demo test style types floors tests prove compiled test-compiled compare clean

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

# The optional compiled form, in an environment of its own: nothing of it lies beside the sources.
compiled: $(COMPILED)/ready

# The same tests against it: of what is compiled, and a selection of those of the whole, which
# TESTS_COMPILED=tests/end_to_end runs all. PYTHONSAFEPATH keeps Python from finding the plain
# sources in the working directory.
test-compiled: $(COMPILED)/ready
	env -u PYTHONPATH PYTHONSAFEPATH=1 GWD_COMPILED=1 \
		$(COMPILED)/bin/pytest -n 4 --dist loadfile $(TESTS_COMPILED)

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

# Builds in a copy: setuptools would take what an earlier build left in build/ for sources.
$(COMPILED)/ready: setup.cfg setup.py pyproject.toml $(shell find gwd -name '*.py')
	rm -rf $(COMPILED)
	$(PYTHON) -m venv $(COMPILED)
	mkdir $(COMPILED)/source
	cp -r gwd setup.cfg setup.py pyproject.toml README.md LICENSE $(COMPILED)/source
	GWD_COMPILED=1 $(COMPILED)/bin/pip install -q --disable-pip-version-check \
		'$(abspath $(COMPILED))/source[test]'
	rm -rf $(COMPILED)/source
	touch $@

clean:
	rm -rf $(VENV) $(COMPILED) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
