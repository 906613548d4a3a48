# Two commands do all the set-up they need: `make demo` and `make test`.
# Everything is installed into .venv and by the system's package manager; see scripts/setup.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests start programs by the hundred: each would compile what it imports, if nothing kept it.
unexport PYTHONDONTWRITEBYTECODE
NAMES := routing lab probe agent services

.PHONY: help demo test test-agent check bench $(addprefix bench-,$(NAMES)) docs clean packages

help:
	@echo "make demo    set up, then the whole story on examples/demo/ridgeline.yaml"
	@echo "make test    set up, then every test that this machine can run"
	@echo "make test-agent  of these, the agent beside real routers and stores (frr, gobgpd, etcd if installed)"
	@echo "make check   format, lint, types, import contracts"
	@echo "make bench   benchmarks with peers (bench-NAME for one of: $(NAMES))"
	@echo "make docs    the documentation as HTML"
	@echo "make clean   remove the virtual environment and caches"

$(READY): pyproject.toml constraints.txt scripts/setup
	@scripts/setup python

packages:
	@scripts/setup packages

demo: packages $(READY)
	$(BIN)/ridgeline demo examples/demo/ridgeline.yaml --output out

# Lab tests often wait for real routers: one more than there are cores run side by side, each
# worker with labs of its own, in the order of tests/lab/conftest.py.
SPREAD := -p no:randomly -n 3 --dist loadgroup --no-loadscope-reorder

test: packages $(READY)
	$(BIN)/python -m pytest -q -m "not lab" -n 3
	$(BIN)/python -m pytest -q -m lab $(SPREAD)

# The agent beside BIRD, FRR, GoBGP, ExaBGP and etcd, as far as they are installed: a part of `test`.
test-agent: packages $(READY)
	$(BIN)/python -m pytest -q -m agent $(SPREAD)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(addprefix bench-,$(NAMES))

$(addprefix bench-,$(NAMES)): bench-%: packages $(READY)
	@mkdir -p bench/results
	$(BIN)/python bench/$*/run.py

docs: $(READY)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis out
