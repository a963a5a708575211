# Fedstack. `make` lists what there is to do. Each target sets up what it needs in .venv, nothing elsewhere.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
READY := $(VENV)/ready
RUN := $(VENV)/bin/python -m
LOCK := $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
.PHONY: help

$(READY): requirements-dev.txt
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^uv==/ { on = 1 } on { print } on && !/\\$$/ { exit }' requirements-dev.txt > $(VENV)/uv.txt
	@$(RUN) pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip sync --quiet --require-hashes requirements-dev.txt
	@touch $@

include infra.mk

test: $(READY) bundle ## run every test
	@$(RUN) pytest
.PHONY: test

check: $(READY) ## look at format, lint and types, change nothing
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
.PHONY: check

bench: $(READY) ## seconds and sizes of synth for 1 to 100 clients
	@$(RUN) bench.synth_scale --json out/bench-synth_scale.json
.PHONY: bench

lock: $(READY) ## resolve the pinned versions anew
	@$(LOCK) pyproject.toml -o requirements.txt
	@$(LOCK) --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
.PHONY: lock
