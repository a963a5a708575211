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
# The demo, and what is deployed, need a part of it: the same versions, so that going back and forth changes nothing.
SMALL := demo drill live bundle synth handoff preflight help
READY_DEMO := $(if $(wildcard $(READY))$(filter-out $(SMALL),$(MAKECMDGOALS)),$(READY),$(VENV)/ready-demo)
RUN := $(VENV)/bin/python -m
FEDSTACK := $(VENV)/bin/fedstack
LOCK := $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

# Values reach commands through the environment: a path may have spaces, or anything else.
export OUT ?= out
# Two set-ups of one environment must not run at the same time.
.NOTPARALLEL:

include infra.mk

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
.PHONY: help

# A variable's name or value that cannot be meant is told before anything is set up.
GOALS := $(or $(MAKECMDGOALS),help)
variables: python
	@$(PYTHON) -B -m fedstack.make_variables $(GOALS)
.PHONY: variables

python:
	@test -n "$(PYTHON)" || { echo "Fedstack needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
.PHONY: python

define SET_UP
@echo "setting up $(VENV) from $< with $$($(PYTHON) --version) ..."
@test -x $(VENV)/bin/python || $(PYTHON) -m venv --clear $(VENV)
@awk '/^uv==/ { on = 1 } on { print } on && !/\\$$/ { exit }' $< > $(VENV)/uv.txt
@$(RUN) pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
@VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip sync --quiet --compile-bytecode --require-hashes $<
@touch $@
endef

$(VENV)/ready-demo: requirements-demo.txt | variables
	$(SET_UP)

$(READY): requirements-dev.txt | variables
	$(SET_UP)

# The command line of this checkout, from any folder.
$(FEDSTACK): Makefile | $(READY_DEMO)
	@printf '#!/bin/sh\nPYTHONPATH="%s$${PYTHONPATH:+:$$PYTHONPATH}" exec "%s/$(VENV)/bin/python" -P -m fedstack "$$@"\n' "$(CURDIR)" "$(CURDIR)" > $@
	@chmod +x $@

given = $(if $($1),--$2 "$$$1")
ON := 1 yes true on
DEMO = --out "$$OUT" $(call given,DATA,data) $(call given,CLIENTS,clients) $(call given,ROUNDS,rounds) \
	$(call given,STRATEGY,strategy) $(call given,SPLIT,split) $(call given,ENGINE,engine) $(call given,MODEL,model) \
	$(call given,THRESHOLD_FOR,threshold-for) $(call given,SEED,seed) $(call given,EPSILON,privacy-epsilon) $(call given,UPDATES,updates) \
	$(if $(filter $(ON),$(KEEP)),--keep) $(call given,APP,app) $(call given,IMAGE,image)

setup: $(READY) $(FEDSTACK) $(CDK_READY) ## set up .venv from the lock, and the cdk command line
.PHONY: setup

demo: variables $(FEDSTACK) $(CDK_READY) ## deploy a federation to an AWS on this machine, run it, destroy it: [DATA=file.csv] [APP=folder] [OUT=dir] [CLIENTS=3] [ROUNDS=n] [KEEP=1] ...
	@$(FEDSTACK) demo $(DEMO)
.PHONY: demo

drill: $(READY_DEMO) $(CDK_READY) bundle ## run named faults for real and hold each against its verdict: [ONLY="slow"] [JSON=file] [OUT=dir]
	@$(RUN) rehearsal.drills --out "$$OUT/drills" $(call given,ONLY,only) $(call given,JSON,json)
.PHONY: drill

live: $(READY_DEMO) $(CDK_READY) bundle ## deploy to two sandbox accounts on real AWS, run, try ten forbidden calls, destroy: SERVER=profile CLIENT=profile [REGION=eu-west-1] [YES=1]
	@$(RUN) rehearsal.live --server-profile "$$SERVER" --client-profile "$$CLIENT" $(call given,REGION,region) $(if $(filter $(ON),$(YES)),--yes)
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

bench: $(READY) ## run the measurements of docs/performance.md, docs/quality.md and docs/privacy.md
	@$(RUN) bench.peers --json out/bench-peers.json --markdown docs/performance.md
	@for script in journey round_overhead payload client_cost standin_fidelity synth_scale quality privacy; do $(RUN) bench.$$script --json out/bench-$$script.json || exit; done
.PHONY: bench

lock: $(READY) ## resolve the pinned versions anew
	@$(LOCK) --extra dev pyproject.toml -o requirements-dev.txt
	@$(LOCK) -c requirements-dev.txt pyproject.toml -o requirements.txt
	@$(LOCK) -c requirements-dev.txt $(addprefix --extra ,infra rehearsal simulation trees) pyproject.toml -o requirements-demo.txt
.PHONY: lock
