# SPDX-License-Identifier: Apache-2.0
# Everything from a bare clone: the first target that needs it builds .venv with scripts/bootstrap.sh.
.DEFAULT_GOAL := help
.PHONY: help setup run test check format docs bench lock clean
BIN := .venv/bin
READY := .venv/.ready

help: ## Show the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml scripts/bootstrap.sh
	@sh scripts/bootstrap.sh

setup: $(READY) ## Install what is needed into .venv

run: $(READY) ## A working server with an embedded database and a demonstration run
	@exec $(BIN)/dci-server demo --serve

# Tests start many processes: with bytecode, whatever the environment says of it, each takes a third of the time.
test: $(READY) check ## Everything: format, lint, types, import contracts, all tests
	@env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX=$(CURDIR)/.venv/bytecode $(BIN)/python -m pytest -n 2 $(TESTS)

check: $(READY) ## The quick part: format, lint, types, import contracts
	@$(BIN)/ruff format --check --quiet . || { echo "run 'make format'"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-cache > .venv/import-contracts.log || { cat .venv/import-contracts.log; exit 1; }
	@$(BIN)/basedpyright

format: $(READY) ## Format the code and sort the imports
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

docs: $(READY) ## Write docs/permissions.md anew from the code
	@$(BIN)/python -m scripts.permissions

bench: $(READY) ## Load a server of its own over HTTP and print the table (BENCH="--help" for the options)
	@$(BIN)/python -m benchmarks $(BENCH)

lock: $(READY) ## Resolve the dependencies again into requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --all-extras --group dev pyproject.toml --output-file requirements.lock --upgrade
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  tests/s3_server/requirements.in --output-file tests/s3_server/requirements.lock --upgrade

clean: ## Remove .venv and caches (not the data directory)
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis
