# All one needs is Go; make test-kafka and make bench-relay also need Java 17 and Maven, or KAFKA_BROKERS=host:port.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

GO ?= go
FUZZTIME ?= 20s
STATICCHECK := v0.8.2
GOVULNCHECK := v1.9.0
tools := $(CURDIR)/bin/tools

# The end-to-end suite runs by itself: it starts processes and wants the machine.
packages = $$($(GO) list ./... | grep -v /fuzz/e2e)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/noecho
	$(GO) build -o bin/noecho ./cmd/noecho

.PHONY: demo
demo: ## the proof in half a minute, no broker needed
	$(GO) run ./cmd/noecho demo

.PHONY: test
test: lint test-unit test-bench test-invariants test-race test-e2e ## everything that needs no outside server

.PHONY: test-unit
test-unit:
	$(GO) test -timeout 15m $(packages)

.PHONY: test-bench
test-bench: ## the bench's own parts (workloads, peers, arithmetic, reports)
	cd bench && $(GO) test -timeout 10m ./...

.PHONY: test-invariants
test-invariants:
	$(GO) test -timeout 15m -tags invariants $(packages)

.PHONY: test-race
test-race:
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v "$$($(GO) env CC)" >/dev/null; then \
		set -x; $(GO) test -timeout 20m -short -race $(packages); \
	else \
		echo "no C compiler: the race detector is left out"; \
	fi

.PHONY: test-e2e
test-e2e: ## the binary against kfake: 1 M records, 20 kills; then shorter with invariants checked
	$(GO) test -timeout 20m -count=1 -v ./fuzz/e2e
	NOECHO_E2E_TAGS=invariants $(GO) test -timeout 10m -count=1 -short -v -run 'TestKill|TestCorrupt|TestTorn' ./fuzz/e2e

.PHONY: test-kafka
test-kafka: ## the same end-to-end suite against a real Kafka broker (KAFKA_BROKERS, or one that is started for it), and test-stamp
	scripts/kafka.sh run $(GO) test -timeout 20m -count=1 -p 1 -v ./fuzz/e2e ./examples/stamp

.PHONY: test-stamp
test-stamp: ## Go, Java and Python stamp the same orders on a real Kafka broker; what has no javac or no pip is left out, and said
	scripts/kafka.sh run $(GO) test -timeout 5m -count=1 -v ./examples/stamp

.PHONY: test-examples
test-examples: ## examples with modules of their own; the one with PostgreSQL starts it, kills its consumer, counts rows (left out where it is not installed)
	@for m in examples/*/go.mod; do (set -x; cd $$(dirname $$m); $(GO) test -timeout 10m -count=1 -v ./...); done

chaos := $(GO) test -timeout 30m -count=1 -v -run '^TestChaos$$' ./fuzz/e2e

.PHONY: chaos
chaos: ## three members killed, stopped and frozen at random for 5 minutes, 3 M records, on kfake (make test has a short form)
	NOECHO_E2E_CHAOS=$(or $(SECONDS),300) NOECHO_E2E_RECORDS=$(or $(N),3000000) $(chaos)

.PHONY: chaos-kafka
chaos-kafka: ## the same on a real Kafka broker (KAFKA_BROKERS, or one that is started for it)
	NOECHO_E2E_CHAOS=$(or $(SECONDS),300) NOECHO_E2E_RECORDS=$(or $(N),3000000) scripts/kafka.sh run $(chaos)

.PHONY: chaos-transactions
chaos-transactions: ## chaos-kafka with fencing: transactional: no zombie's output is excused
	NOECHO_E2E_FENCING=transactional NOECHO_E2E_CHAOS=$(or $(SECONDS),300) NOECHO_E2E_RECORDS=$(or $(N),3000000) scripts/kafka.sh run $(chaos)

.PHONY: chaos-changelog
chaos-changelog: ## chaos-kafka with a changelog that the members follow as standbys
	NOECHO_E2E_CHANGELOG=1 NOECHO_E2E_CHAOS=$(or $(SECONDS),300) NOECHO_E2E_RECORDS=$(or $(N),3000000) scripts/kafka.sh run $(chaos)

.PHONY: chaos-assigned
chaos-assigned: ## chaos-kafka with group_protocol: consumer, where the brokers assign (Kafka 4)
	NOECHO_E2E_GROUP_PROTOCOL=consumer NOECHO_E2E_CHAOS=$(or $(SECONDS),300) NOECHO_E2E_RECORDS=$(or $(N),3000000) scripts/kafka.sh run $(chaos)

.PHONY: chaos-cluster
chaos-cluster: ## three real brokers: leader and coordinator killed under load and brought back
	KAFKA_NODES=3 scripts/kafka.sh run $(GO) test -timeout 30m -count=1 -v -run '^TestCluster$$' ./fuzz/e2e

.PHONY: kafka-up
kafka-up: ## start a Kafka broker on free loopback ports, print host:port (scripts/kafka.sh help says more)
	@scripts/kafka.sh up

.PHONY: kafka-down
kafka-down: ## stop it and remove its data
	@scripts/kafka.sh down

.PHONY: bench
bench: ## the engine beside its rivals: table, bench/bench.json, bench/bench.html (ARGS='--list' shows peers and workloads)
	$(GO) run -C bench . run $(ARGS)

.PHONY: bench-bars
bench-bars: ## what the engine must show, held or not, on a store of 100 M keys (10 GB of disk for a while)
	$(GO) run -C bench . bars $(ARGS)

.PHONY: bench-scale
bench-scale: ## N keys (default 1000000000) in one store, kill -9, recovery, replay storm (30 bytes of disk a key)
	$(GO) run -C bench . scale $(or $(N),1000000000) $(ARGS)

.PHONY: bench-relay
bench-relay: ## throughput of noecho run against a bare franz-go relay, on a real Kafka broker
	cd bench && ../scripts/kafka.sh run $(GO) run ./relay

.PHONY: bench-kafka
bench-kafka: ## noecho beside Kafka Streams, transactions and Redis on a real Kafka broker: table, bench/kafka.json, kafka.html (ARGS='--quick': 3 minutes)
	cd bench && ../scripts/kafka.sh run $(GO) run ./kafka $(ARGS)

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, in both builds; the project's own rules are in internal/lint
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not gofmt'ed:" $$files; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags invariants ./...
	cd bench && $(GO) vet ./...
	@for m in examples/*/go.mod; do (set -x; cd $$(dirname $$m); $(GO) vet ./...); done
	@if $(call install,staticcheck,$(STATICCHECK),honnef.co/go/tools/cmd); then \
		set -x; $(tools)/staticcheck-$(STATICCHECK) ./... && $(tools)/staticcheck-$(STATICCHECK) -tags invariants ./...; \
	else \
		echo "staticcheck $(STATICCHECK) could not be got: left out"; \
	fi

.PHONY: fuzz
fuzz: ## every native fuzz target for FUZZTIME (default 20s) each
	@for p in $(packages); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			(set -x; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p); \
		done; \
	done

.PHONY: vulncheck
vulncheck: ## known vulnerabilities in what we use (asks the Go vulnerability database)
	@$(call install,govulncheck,$(GOVULNCHECK),golang.org/x/vuln/cmd)
	$(tools)/govulncheck-$(GOVULNCHECK) ./...

.PHONY: clean
clean: ## bin/, .kafka/ and the broker
	scripts/kafka.sh down
	rm -rf bin .kafka

# install,NAME,VERSION,PATH: a tool of a fixed version, built once, no dependency of the project's.
define install
{ [ -x $(tools)/$(1)-$(2) ] || { GOBIN=$(tools) $(GO) install $(3)/$(1)@$(2) && mv $(tools)/$(1) $(tools)/$(1)-$(2); }; }
endef
