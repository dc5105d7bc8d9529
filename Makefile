# A thin list of commands; anything over three lines lives in hack/.

# Every target stands alone on a fresh machine with Rust: what else it needs, hack/deps installs.
CRDGEN = cargo run --locked --quiet -p spo-api --bin crdgen --

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: deps-check ## compile what ships
	cargo build --locked

.PHONY: check
check: deps-check ## unit tests, golden cases, laws and tidy: what needs nothing but this machine
	cargo test --locked

.PHONY: test
test: deps-test ## every test that this machine can run
	@hack/test

.PHONY: demo
demo: deps-demo ## see it work on a real control plane; KEEP=1 leaves it running
	@KEEP='$(KEEP)' hack/demo/demo

.PHONY: generate
generate: deps-check ## write the CRDs
	$(CRDGEN) deploy/crds

.PHONY: fmt
fmt: ## format
	cargo fmt --all

.PHONY: lint
lint: deps-check ## clippy; a warning is an error
	cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: verify
verify: fmt-check lint generate-check check ## what a change has to pass, but for the higher rungs

.PHONY: fmt-check
fmt-check: ## is everything formatted?
	cargo fmt --all --check

.PHONY: generate-check
generate-check: deps-check ## is what we generate fresh?
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && cp deploy/crds/* "$$fresh" && $(CRDGEN) "$$fresh" && \
	{ diff -r deploy/crds "$$fresh" || { echo 'deploy/crds is stale: run make generate' >&2; exit 1; }; }

.PHONY: test-apiserver
test-apiserver: deps-test ## against a real API server, found or built by hack/controlplane
	@hack/test apiserver

.PHONY: test-node
test-node: deps-test ## against this kernel, and kernels with AppArmor and SELinux in a VM; takes root
	@hack/test node vm

.PHONY: test-vm
test-vm: deps-test ## against kernels with AppArmor and SELinux only, in an emulated VM; takes root
	@hack/test vm

.PHONY: test-controlplane
test-controlplane: deps-test ## of the control plane which the others test against
	@hack/test controlplane

.PHONY: fuzz
fuzz: deps-check ## every fuzz target for FUZZ_SECONDS (60); takes nightly Rust and cargo-fuzz
	for target in $$(cargo +nightly fuzz list --fuzz-dir tests/fuzz); do \
	cargo +nightly fuzz run --fuzz-dir tests/fuzz "$$target" -- -max_total_time=$${FUZZ_SECONDS:-60} || exit 1; done

.PHONY: bench
bench: deps-demo ## measure the main job on a real control plane
	@hack/bench/install

.PHONY: bench-cluster
bench-cluster: deps-demo ## measure memory, conversion and admission on a real control plane
	@hack/bench/cluster

.PHONY: clean
clean: ## remove what was built, but for the control plane in .cache
	cargo clean
	rm -rf .demo

.PHONY: deps-check deps-test deps-demo
deps-check deps-test deps-demo: deps-%:
	@hack/deps $*
