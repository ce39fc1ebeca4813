# Every target is one that a developer or CI runs; `make` alone lists them.

GO = go
# The release build, and the same as in the Dockerfile, so that the build cache serves both. No stamp of
# the repository's state: reading it fails where another user owns the clone.
BUILD = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w'
TOOL = $(GO) tool -modfile=tools/go.mod
# Benchmarks to run, and flags for `worker demo`.
BENCH = .
DEMO =
# The long run under all faults: tweets, workers, and the seed (none: 1, 2 and 3).
N = 2000
WORKERS = 4
SEED =
# No file should be longer, in lines.
LONGEST = 500

.PHONY: help
help: ## Show this list (the default)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## Post and delete a few tweets at a stand-in for X, with a database of its own; DEMO='--exit' ends by itself
	@script/setup demo
	@$(MAKE) --no-print-directory build
	@bin/worker demo $(DEMO)

.PHONY: build
build: ## Build both binaries into bin/
	$(BUILD) -o bin/ ./cmd/...

.PHONY: test
test: ## Build, then run every test with the race detector and list each skipped one with its reason
	@script/setup test
	@$(MAKE) --no-print-directory build
	@$(BUILD) -modfile=tools/go.mod -o bin/gotestsum gotest.tools/gotestsum
	@tools/test.sh

.PHONY: check
check: tidy vet lint lines test ## Everything that must be clean before a change lands

.PHONY: tidy
tidy: ## Fail if a go.mod or go.sum is not tidy
	$(GO) mod tidy -diff
	$(GO) -C tools mod tidy -diff

.PHONY: vet
vet: ## Run go vet, also over what only the soak tests build
	$(GO) vet -tags=soak ./...
	$(GO) -C tools vet ./...

.PHONY: lint
lint: ## Run the linters of .golangci.yaml, and shellcheck where it is installed
	$(TOOL) golangci-lint run ./...
	cd tools && $(GO) tool golangci-lint run ./...
	@if command -v shellcheck >/dev/null; then \
		shellcheck script/setup .ci/run tools/test.sh; \
	else \
		echo 'shellcheck is not installed: shell scripts are not checked'; \
	fi

.PHONY: lines
lines: ## Fail if a Go or SQL file is too long
	@find . -name '*.go' -exec wc -l {} + -o -name '*.sql' -exec wc -l {} + | \
		awk '$$2 != "total" && $$1 > $(LONGEST) { print $$2 " has " $$1 " lines, more than $(LONGEST)"; long = 1 } END { exit long }'

.PHONY: fmt
fmt: ## Format all Go files
	$(TOOL) gofumpt -l -w .

.PHONY: bench
bench: ## Run the benchmarks that match BENCH=regexp
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem ./...

.PHONY: soak
soak: ## Run the long forms: tests named TestSoak... in files with the build tag soak
	@script/setup test
	@$(MAKE) --no-print-directory build
	$(GO) test -race -tags=soak -run='^TestSoak' -timeout=4h ./...

.PHONY: chaos
chaos: ## Post N=2000 tweets under all faults with WORKERS=4; SEED=1 is that one run, else 1, 2 and 3
	@script/setup test
	N=$(N) SEED=$(SEED) WORKERS=$(WORKERS) $(GO) test -race -run='^TestChaos$$' -timeout=4h -v ./bench/chaos
