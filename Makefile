# Everything runs in .venv, which the first target makes. `make help` lists the targets.
#   make test PYTHON=python3.12      another interpreter (3.11 or newer)
#   make test TEST_ARGS='-k sse'     arguments for pytest; '-n 0' for one process
#   make bench BENCH_ARGS=--smoke    arguments for each benchmark

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
BENCHES := $(filter-out bench/_% bench/%_stub.py bench/%_measure.py bench/%_asteval.py,$(sort $(wildcard bench/*.py)))

# One process for each core. Each takes a row of neighbouring tests, so that they share their modules' fixtures, and helps out at the end.
PARALLEL := -n auto --maxprocesses 4 --dist worksteal

# Every process of the tests would compile the package anew, if it were forbidden to keep what it compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo setup test lint contracts types style corpus bench proofs docs reference prices lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  \1 /p' $(MAKEFILE_LIST) | awk '{name = $$1; $$1 = ""; printf "  %-10s%s\n", name, $$0}'

demo: $(VENV)/.runtime ## run the demo pipeline twice against the built-in simulator; needs no keys
	$(BIN)/headgate demo

setup: $(VENV)/.dev ## make the environment for development

test: $(VENV)/.dev ## run the tests, several at a time
	$(BIN)/python -m pytest $(PARALLEL) $(TEST_ARGS)

lint: $(VENV)/.dev contracts ## check style, formatting and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

contracts: $(VENV)/.dev ## check the import contracts
	$(BIN)/lint-imports

types: $(VENV)/.dev ## check types, strictly
	$(BIN)/mypy
	$(BIN)/mypy tools

style: $(VENV)/.dev ## hold the package to the fourteen style limits
	$(BIN)/python tools/style_gate.py

corpus: $(VENV)/.dev ## read recorded provider traffic (HEADGATE_CORPUS names the folder)
	$(BIN)/python -m pytest -m corpus $(TEST_ARGS)

bench: $(VENV)/.dev ## run the benchmarks; ratios on the screen, JSON in bench/out
	@set -e; for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python $$bench $(BENCH_ARGS); done

proofs: $(VENV)/.dev ## run the long sweeps; JSON in bench/out/proofs.json
	HEADGATE_PROOFS=1 $(BIN)/python -m pytest -m proofs $(TEST_ARGS)

docs: $(VENV)/.dev ## check the documentation: links, commands, generated pages
	$(BIN)/python tools/check_docs.py
	$(BIN)/python tools/generate_reference.py --check
	$(BIN)/python tools/openapi.py --check

reference: $(VENV)/.dev ## write the generated pages of the documentation anew
	$(BIN)/python tools/generate_reference.py
	$(BIN)/python tools/openapi.py

prices: $(VENV)/.dev ## bring the catalog's prices up to date; SECOND=file compares them with LiteLLM's map
	$(BIN)/python tools/import_prices.py $(if $(SECOND),--second $(SECOND))

# The machine's own pip configuration is left out, so that what is written names no index and holds the hashes of every platform's wheels.
COMPILE := PIP_CONFIG_FILE=/dev/null env -u PIP_FIND_LINKS $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-strip-extras --no-annotate \
	--no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --pip-args '--only-binary :all:'

lock: $(VENV)/.dev ## pin the requirements anew
	$(COMPILE) -o requirements/runtime.txt --constraint requirements/constraints.in pyproject.toml requirements/build.in
	sed -i.old '/^#/d;/^$$/d' requirements/runtime.txt
	sed 's/\[[a-z,-]*\]==/==/' requirements/runtime.txt > requirements/pinned.old
	$(COMPILE) -o requirements/dev.txt --constraint requirements/pinned.old pyproject.toml requirements/build.in requirements/dev.in
	sed -i.old '/^#/d;/^$$/d' requirements/dev.txt
	rm -f requirements/*.old

clean: ## remove what can be made again (not .venv, not runs)
	rm -rf build dist bench/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ---------------------------------------------------------------------------------------------------

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "error: Headgate needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not there)." >&2; \
		echo "hint: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

define install
	$(PIP) install --require-hashes -r requirements/$(1).txt
	$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@
endef

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/pip
	@echo "Installing the requirements (once) ..."
	$(call install,runtime)

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/pip
	@echo "Installing the development requirements (once) ..."
	$(call install,dev)
