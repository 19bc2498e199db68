# Leeward. `make` says what there is to do.
SHELL := /bin/bash
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/node_modules/.bin:$(PATH)
.DEFAULT_GOAL := help

.PHONY: help setup check format test az-test terraform-test sim bench api agent demo demo-down vault clean

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## Protect a live Debian guest, cut recovery points, boot a test failover (root; about 10 minutes)
	@tools/packages.sh
	@node tools/demo/up.ts

demo-down: ## Remove every trace of the demo
	@tools/node.sh
	@node tools/demo/down.ts

vault: setup ## A vault of one's own in the foreground, for any SDK (root); writes .run/vault.env
	@tools/packages.sh
	@node tools/vault/up.ts $(if $(VAULT_PORT),--port $(VAULT_PORT),)

az-test: setup ## Drive a vault of its own with the real azure-cli, from Python's package index (root)
	@tools/packages.sh
	@node tools/az-test/run.ts

terraform-test: setup ## Drive a vault with the library of Terraform's azurerm provider (needs Go)
	@tools/packages.sh
	@node tools/terraform-test/run.ts

test: setup ## Everything that CI runs
	@tools/packages.sh
	@node tools/test.ts

check: setup ## Formatter, linter, types and tidiness: seconds
	@biome check . && tsc && ava test/tidy.test.ts

format: setup ## Format and sort imports
	@biome check --write .

sim: setup ## Simulate the whole byte path with faults; SEED=n replays
	@node tools/sim.ts $(if $(SEED),--seed $(SEED),)

bench: setup ## Side by side with rsync, restic, borg, qemu-img and nbdcopy; writes bench/results.json
	@tools/packages.sh bench
	@node bench/run.ts

api: setup ## Types, OpenAPI document and table of operations, from the description of the API
	@node tools/api/write.ts

agent: setup ## The mobility service as a tar and a deb, under dist/
	@tools/packages.sh
	@node tools/agent/pack.ts

setup: # Node 24 and the npm packages, into this folder
	@tools/node.sh

clean: ## Remove what was built or downloaded here
	rm -rf dist .cache node_modules .tools
