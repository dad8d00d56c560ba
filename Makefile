# Everything here works on a fresh machine that has Go, git and make: each target installs what it lacks, saying so
# first, and needs no network once that is done.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

# How many packages are tested at once. Many of them run servers of their own and wait for these most of the time.
TEST_PARALLEL ?= 3
# They are begun in this order: the longest first, so that none of them runs alone at the end.
TEST_PACKAGES := ./internal/e2e ./internal/pipeline ./internal/binlog ./cmd/... ./...
FUZZTIME ?= 20s

.PHONY: build
build: ## the static binary bin/binlogstreamer
	CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags '$(LDFLAGS)' -o bin/binlogstreamer ./cmd/binlogstreamer

.PHONY: deb
deb: build ## a package for Debian and Ubuntu, in dist
	scripts/package deb bin/binlogstreamer dist '$(VERSION)'

.PHONY: rpm
rpm: build ## a package for Red Hat and its kin, in dist
	scripts/package rpm bin/binlogstreamer dist '$(VERSION)'

.PHONY: demo
demo: build ## the whole pipeline on this machine, no AWS account needed (ARGS="--for 60s")
	scripts/install-demo-server
	bin/binlogstreamer demo $(ARGS)

.PHONY: test
test: ## every test, with the race detector and real servers
	scripts/install-test-servers
	go vet ./...
	@echo "screenshots of the status page will be in $(CURDIR)/artifacts/status-page"
	CGO_ENABLED=1 go test -race -count=1 -p $(TEST_PARALLEL) -timeout 30m $(TEST_PACKAGES)

.PHONY: chaos
chaos: ## random schedules of faults: SEED=… repeats one, N=… says how many; docs/TESTING.md has more
	scripts/install-test-servers
	BINLOGSTREAMER_SEED='$(SEED)' BINLOGSTREAMER_CHAOS='$(or $(N),8)' BINLOGSTREAMER_LANES='$(LANES)' BINLOGSTREAMER_RACE='$(RACE)' BINLOGSTREAMER_KEEP='$(KEEP)' \
		go test -count=1 -v -timeout 24h -run '^TestChaos$$' ./internal/e2e

.PHONY: mutants
mutants: ## takes one rule after another out of the program and runs schedules until one fails, N=… at the most
	scripts/install-test-servers
	BINLOGSTREAMER_MUTANTS='$(or $(N),60)' BINLOGSTREAMER_MUTANT='$(MUTANT)' BINLOGSTREAMER_SEED='$(SEED)' \
		go test -count=1 -v -timeout 24h -run '^TestMutants$$' ./internal/e2e

.PHONY: lint
lint: ## static checks, among them the import rules
	scripts/lint ./...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## measures us against the baselines; results in bench/results/latest.json
	scripts/install-test-servers
	go run ./bench $(BENCH_FLAGS)

.PHONY: clean
clean: ## removes what the other targets built here (not the installed test servers)
	rm -rf bin dist artifacts
	go clean -testcache

.PHONY: help
help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10
