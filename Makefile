# run and test are the two commands of the README; the rest is for developers (CONTRIBUTING.md).
# Needs: make, python3 >= 3.11 with venv. Everything else is put into .venv from uv.lock.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
export UV_PROJECT_ENVIRONMENT := $(VENV)
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

# --- set-up ---------------------------------------------------------------------------------
# A half-made .venv is removed, so that the next call starts afresh.
$(BIN)/uv: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "restante needs python3 >= 3.11 (set PYTHON=...)" >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "python3 has no venv: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(VENV)/.run: $(BIN)/uv uv.lock pyproject.toml
	@$(BIN)/uv sync --quiet --frozen --inexact --no-default-groups --extra postgres
	@touch $@

$(VENV)/.dev: $(BIN)/uv uv.lock pyproject.toml
	@$(BIN)/uv sync --quiet --frozen --inexact --extra postgres
	@touch $@ $(VENV)/.run

.PHONY: setup
setup: $(VENV)/.dev ## .venv with everything for development

.PHONY: lock
lock: $(BIN)/uv ## renew uv.lock from pyproject.toml
	$(BIN)/uv lock

# --- the two commands -----------------------------------------------------------------------
.PHONY: run
run: $(VENV)/.run ## start the whole system on this machine
	@exec $(BIN)/restante all

.PHONY: test
test: $(VENV)/.dev ## every test that can run on this machine
	@$(BIN)/pytest -n auto --dist worksteal

# --- for developers -------------------------------------------------------------------------
.PHONY: lint
lint: $(VENV)/.dev ## ruff, mypy --strict, import-linter, generated code is fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory proto-check

.PHONY: format
format: $(VENV)/.dev ## rewrite with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: faults
faults: $(VENV)/.dev ## kill -9 of every service under load, 1,000 times, and other long fault runs
	$(BIN)/pytest -m campaign tests/faults -s -v

.PHONY: e2e
e2e: $(VENV)/.dev ## the whole system in containers: real programs, faults under load (needs Docker)
	@$(BIN)/pytest -m e2e tests/e2e tests/k8s -s -v

.PHONY: e2e-campaign
e2e-campaign: $(VENV)/.dev ## the same faults for longer, again and again
	@$(BIN)/pytest -m "e2e and campaign" tests/e2e -s -v -o faulthandler_timeout=14400

.PHONY: fuzz
fuzz: $(VENV)/.dev ## the parsers against generated and mutated input, for minutes
	$(BIN)/pytest -m campaign tests/fuzz -s -v

.PHONY: bench
bench: $(VENV)/.dev ## speed against Debian's Dovecot and Courier, interleaved in one run (as root)
	$(BIN)/python -m tests.bench $(BENCH)

PROTOS := $(shell find proto -name '*.proto' 2>/dev/null)
.PHONY: proto
proto: $(VENV)/.dev ## generate libs/restante/rpc/*/v1 from proto/
	@PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m grpc_tools.protoc -Iproto --python_out=libs --pyi_out=libs --grpc_python_out=libs --mypy_grpc_out=quiet:libs $(PROTOS)

.PHONY: proto-check
proto-check: $(VENV)/.dev
	@d=$$(mktemp -d) && PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m grpc_tools.protoc -Iproto --python_out=$$d --pyi_out=$$d --grpc_python_out=$$d --mypy_grpc_out=quiet:$$d $(PROTOS) \
	  && for f in $$(cd $$d && find . -name '*.py*'); do cmp -s $$d/$$f libs/$$f || { echo "stale: libs/$$f (make proto)" >&2; rm -rf $$d; exit 1; }; done; rm -rf $$d
