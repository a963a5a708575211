# Fedstack. `make` lists what there is to do. Each target sets up what it needs in .venv, nothing elsewhere.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
# Compiled imports: without them every process of a rehearsal compiles all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
READY := $(VENV)/ready
RUN := $(VENV)/bin/python -m
LOCK := $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

OUT ?= out

include infra.mk

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
.PHONY: help

$(READY): requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Fedstack needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^uv==/ { on = 1 } on { print } on && !/\\$$/ { exit }' requirements-dev.txt > $(VENV)/uv.txt
	@$(RUN) pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip sync --quiet --compile-bytecode --require-hashes requirements-dev.txt
	@touch $@

DEMO = --out $(OUT) $(if $(DATA),--data $(DATA)) $(if $(CLIENTS),--clients $(CLIENTS)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	$(if $(STRATEGY),--strategy $(STRATEGY)) $(if $(SPLIT),--split $(SPLIT)) $(if $(ENGINE),--engine $(ENGINE)) $(if $(MODEL),--model $(MODEL)) \
	$(if $(SEED),--seed $(SEED)) $(if $(EPSILON),--privacy-epsilon $(EPSILON)) $(if $(UPDATES),--updates $(UPDATES)) $(if $(KEEP),--keep) $(if $(APP),--app $(APP)) $(if $(IMAGE),--image $(IMAGE))

setup: $(READY) $(CDK_READY) ## set up .venv from the lock, and the cdk command line
.PHONY: setup

demo: $(READY) $(CDK_READY) $(if $(APP),,bundle) ## deploy a federation to an AWS on this machine, run it, destroy it: [DATA=file.csv] [APP=folder] [OUT=dir] [CLIENTS=3] [ROUNDS=n] [KEEP=1] ...
	@$(RUN) rehearsal.demo $(DEMO)
.PHONY: demo

drill: $(READY) $(CDK_READY) bundle ## run named faults for real and hold each against its verdict: [ONLY="slow"] [JSON=file] [OUT=dir]
	@$(RUN) rehearsal.drills --out $(OUT)/drills $(if $(ONLY),--only "$(ONLY)") $(if $(JSON),--json $(JSON))
.PHONY: drill

live: $(READY) $(CDK_READY) bundle ## deploy to two sandbox accounts on real AWS, run, try ten forbidden calls, destroy: SERVER=profile CLIENT=profile [REGION=eu-west-1] [YES=1]
	@$(RUN) rehearsal.live --server-profile "$(SERVER)" --client-profile "$(CLIENT)" $(if $(REGION),--region $(REGION)) $(if $(YES),--yes)
.PHONY: live

test: $(READY) $(CDK_READY) bundle ## run every test, in as many processes as there are cores
	@$(RUN) pytest --numprocesses auto
.PHONY: test

check: $(READY) ## look at format, lint and types, change nothing
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@$(VENV)/bin/lint-imports --no-logo
.PHONY: check

format: $(READY) ## format, and mend what lint can mend
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .
.PHONY: format

docs: $(READY) ## build the documentation as a site, into site/
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet
.PHONY: docs

bench: $(READY) ## run the measurements of docs/benchmarks.md, docs/quality.md and docs/privacy.md
	@for script in journey round_overhead payload client_cost standin_fidelity synth_scale quality privacy; do $(RUN) bench.$$script --json out/bench-$$script.json || exit; done
.PHONY: bench

lock: $(READY) ## resolve the pinned versions anew
	@$(LOCK) --extra dev pyproject.toml -o requirements-dev.txt
	@$(LOCK) -c requirements-dev.txt pyproject.toml -o requirements.txt
.PHONY: lock
