# lbstack: `make help` tells what there is.

VERSION ?= v0.1.0
IMG ?= ghcr.io/lbstack/lbstack:$(VERSION)
CONTAINER_TOOL ?= docker
NODES ?= 3

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := bin
DEVCLUSTER := $(BIN)/devcluster
CONTROLLER_GEN := $(BIN)/controller-gen
GOLANGCI_LINT := $(BIN)/golangci-lint
ACTIONLINT := $(BIN)/actionlint
OPERATOR_SDK := $(BIN)/operator-sdk
OPERATOR_SDK_VERSION := v1.42.3
OPM := $(BIN)/opm
OPM_VERSION := v1.65.0
OLM := $(BIN)/olm
HELM := $(BIN)/helm
HELM_VERSION := v3.18.6
KREW := $(BIN)/krew
BUNDLE_IMG ?= ghcr.io/lbstack/lbstack-bundle:$(VERSION)
KUBECTL ?= $(DEVCLUSTER) kubectl
BENCH_COUNT ?= 5
MODULES := . hack/devcluster test
PROGRAMS := operator controller speaker
PLUGIN := kubectl-lbstack

# One set of flags for building, testing and linting: everything is compiled
# once, and binaries hold no path of the machine that built them.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false
LDFLAGS := -s -w -X github.com/lbstack/lbstack/internal/version.Version=$(VERSION)

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: prerequisites
prerequisites: ## Install the Debian packages that tests and the demo need, if they are missing.
	@hack/prerequisites.sh

.PHONY: clean
clean: ## Remove what was built here; caches outside the repository stay.
	rm -rf $(BIN) dist

##@ Development

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Generate the CRDs in config/crd/bases from api/.
	@$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate the DeepCopy methods of api/.
	@$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: docs
docs: ## Generate the reference of metrics in docs/metrics.md from the code.
	@go run ./hack/metricsdoc

.PHONY: generate-check
generate-check: $(CONTROLLER_GEN) ## Check that what is generated is up to date.
	@hack/generate-check.sh $(CONTROLLER_GEN)

.PHONY: fmt
fmt: ## Format all Go code.
	gofmt -w .

.PHONY: lint
lint: generate-check $(GOLANGCI_LINT) $(ACTIONLINT) ## Check format, generated files, workflows and, by .golangci.yml, all code.
	@$(ACTIONLINT) -shellcheck= -pyflakes= .github/workflows/*.yml
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted (run make fmt): $$unformatted"; exit 1; }
	@for module in $(MODULES); do echo "golangci-lint: $$module"; (cd $$module && $(CURDIR)/$(GOLANGCI_LINT) run ./...); done

# The commits that commits-check looks at, as git log takes them.
COMMITS ?= origin/main..HEAD

.PHONY: commits-check
commits-check: ## Check the subjects of new commits (COMMITS=A..B) against CONTRIBUTING.md.
	@hack/commit-msg $(COMMITS)

.PHONY: tools
tools: $(CONTROLLER_GEN) $(GOLANGCI_LINT) $(ACTIONLINT) ## Build controller-gen, golangci-lint and actionlint, at the versions of hack.

$(CONTROLLER_GEN): hack/tools/go.sum
	@echo "building controller-gen"
	@go -C hack/tools build -o $(CURDIR)/$@ sigs.k8s.io/controller-tools/cmd/controller-gen

$(ACTIONLINT): hack/tools/go.sum
	@echo "building actionlint"
	@go -C hack/tools build -o $(CURDIR)/$@ github.com/rhysd/actionlint/cmd/actionlint

$(GOLANGCI_LINT): hack/golangci-lint/go.sum
	@echo "building golangci-lint (some minutes the first time)"
	@go -C hack/golangci-lint build -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# operator-sdk tells its version in what it generates.
SDK_TAGS := containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper
$(OPERATOR_SDK): hack/operator-sdk/go.sum
	@echo "building operator-sdk (some minutes the first time)"
	@go -C hack/operator-sdk build -tags $(SDK_TAGS) \
		-ldflags "-s -w -X github.com/operator-framework/operator-sdk/internal/version.Version=$(OPERATOR_SDK_VERSION)" \
		-o $(CURDIR)/$@ github.com/operator-framework/operator-sdk/cmd/operator-sdk

$(OPM): hack/olm/go.sum
	@echo "building opm (some minutes the first time)"
	@go -C hack/olm build -tags json1,containers_image_openpgp \
		-ldflags "-s -w -X github.com/operator-framework/operator-registry/cmd/opm/version.opmVersion=$(OPM_VERSION)" \
		-o $(CURDIR)/$@ github.com/operator-framework/operator-registry/cmd/opm

# What the images of OLM and scorecard hold, for make test-olm.
LIFECYCLE_MANAGER := github.com/operator-framework/operator-lifecycle-manager
$(OLM)/olm: hack/olm/go.mod
	@echo "building OLM (some minutes the first time)"
	@mkdir -p $(OLM)
	@go -C hack/olm build -tags json1,containers_image_openpgp -ldflags "-s -w" -o $(CURDIR)/$(OLM)/ \
		$(LIFECYCLE_MANAGER)/cmd/olm $(LIFECYCLE_MANAGER)/cmd/catalog $(LIFECYCLE_MANAGER)/cmd/copy-content $(LIFECYCLE_MANAGER)/util/cpb

$(OLM)/scorecard-test: hack/operator-sdk/go.sum
	@echo "building the tests of scorecard"
	@go -C hack/operator-sdk build -tags $(SDK_TAGS) -ldflags "-s -w" -o $(CURDIR)/$@ github.com/operator-framework/operator-sdk/images/scorecard-test

# Helm is built in the module of operator-sdk, which has its libraries: what they share is compiled once.
# Its charts see the version of its Kubernetes libraries, as in its releases.
$(HELM): hack/operator-sdk/go.sum
	@echo "building helm"
	@go -C hack/operator-sdk build -o $(CURDIR)/$@ -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$(HELM_VERSION) \
		-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=33 \
		-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=33" helm.sh/helm/v3/cmd/helm

$(KREW): hack/krew/go.sum
	@echo "building krew"
	@go -C hack/krew build -o $(CURDIR)/$@ sigs.k8s.io/krew/cmd/krew

# MetalLB, for bench-peers and test-migrate: its own programs and manifest, from its Go module. The manifest names
# the images by MetalLB's version; its speaker is root in its own image, and its pods drop what it does not need.
METALLB := $(BIN)/metallb
METALLB_VERSION := $(shell sed -n 's/.*go.universe.tf.metallb \(v[^ ]*\).*/\1/p' hack/metallb/go.mod)
$(METALLB)/native.yaml: hack/metallb/go.mod hack/metallb/go.sum | devcluster
	@echo "building MetalLB $(METALLB_VERSION) (some minutes the first time)"
	@mkdir -p $(METALLB)
	@go -C hack/metallb build -ldflags "-s -w" -o $(CURDIR)/$(METALLB)/ go.universe.tf/metallb/controller go.universe.tf/metallb/speaker
	@$(DEVCLUSTER) image --name quay.io/metallb/controller:$(METALLB_VERSION) --binary controller=$(METALLB)/controller --out $(METALLB)/controller.tar
	@$(DEVCLUSTER) image --name quay.io/metallb/speaker:$(METALLB_VERSION) --user 0:0 --binary speaker=$(METALLB)/speaker --out $(METALLB)/speaker.tar
	@install -m 644 "$$(go -C hack/metallb list -m -f '{{.Dir}}' go.universe.tf/metallb)/config/manifests/metallb-native.yaml" $@

##@ Build

.PHONY: build
build: ## Build the programs and the plugin of kubectl into bin/.
	@for program in $(PROGRAMS) $(PLUGIN); do echo "building $$program"; go build -ldflags "$(LDFLAGS)" -o $(BIN)/$$program ./cmd/$$program; done

.PHONY: devcluster
devcluster: ## Build the test bed, bin/devcluster.
	@go -C hack/devcluster build -o $(CURDIR)/$(DEVCLUSTER) .

# Programs of another architecture are compiled on this one: image ARCH=arm64.
ARCH ?= $(shell go env GOARCH)
IMAGE_TAR ?= dist/image.tar
IMAGE_BIN ?= $(BIN)/linux-$(ARCH)

.PHONY: image
image: devcluster ## Build the image for ARCH into dist/image.tar, without a container tool.
	@for program in $(PROGRAMS); do echo "building $$program for $(ARCH)"; GOOS=linux GOARCH=$(ARCH) go build -ldflags "$(LDFLAGS)" -o $(IMAGE_BIN)/$$program ./cmd/$$program; done
	@$(DEVCLUSTER) image --name $(IMG) $(foreach p,$(PROGRAMS),--binary $(p)=$(IMAGE_BIN)/$(p)) \
		--file /licenses/LICENSE=LICENSE \
		--label org.opencontainers.image.title="lbstack" \
		--label org.opencontainers.image.description="Load balancers for Kubernetes on bare metal, from one object" \
		--label org.opencontainers.image.source="https://github.com/lbstack/lbstack" \
		--label org.opencontainers.image.licenses="Apache-2.0" \
		--label org.opencontainers.image.vendor="lbstack" \
		--label org.opencontainers.image.version="$(VERSION)" \
		--architecture $(ARCH) --out $(IMAGE_TAR)

.PHONY: docker-build
docker-build: ## Build the image with a container tool, from the Dockerfile.
	$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) -t $(IMG) .

.PHONY: build-installer
build-installer: manifests ## Write dist/install.yaml: CRDs and operator in one file.
	@mkdir -p dist
	@go run ./hack/installer -image $(IMG) -out dist/install.yaml

.PHONY: version
version: ## Write VERSION into every file that names it and is not generated.
	@go run ./hack/version -version $(VERSION)

.PHONY: bundle
bundle: chart $(OPERATOR_SDK) ## Set VERSION everywhere, and generate the Helm chart and the OLM bundle, which is validated.
	@go run ./hack/bundle -version $(VERSION) -image $(IMG) -operator-sdk $(OPERATOR_SDK)

.PHONY: catalog
catalog: $(OPM) ## Generate and validate the OLM catalogue, from catalog/releases.yaml and the bundle.
	@go run ./hack/catalog -version $(VERSION) -image $(BUNDLE_IMG) -opm $(OPM)

.PHONY: chart
chart: version manifests ## Generate the CRDs and the templates of the Helm chart.
	@go run ./hack/chart -version $(VERSION)

.PHONY: bundle-check
bundle-check: $(OPERATOR_SDK) $(OPM) ## Check that files name VERSION, and that the OLM bundle, the catalogue and the Helm chart are up to date, and valid.
	@go run ./hack/version -check -version $(VERSION)
	@go run ./hack/bundle -check -version $(VERSION) -image $(IMG) -operator-sdk $(OPERATOR_SDK)
	@go run ./hack/catalog -check -version $(VERSION) -image $(BUNDLE_IMG) -opm $(OPM)
	@go run ./hack/chart -check -version $(VERSION)

# The files of a release depend on nothing but the tree: test-release makes them twice and compares.
# The image is for Linux, the kubectl plugin also for the machines of administrators.
RELEASE_ARCHITECTURES ?= amd64 arm64
RELEASE_SYSTEMS ?= linux darwin
RELEASE_DIR ?= dist/release

.PHONY: release
release: devcluster $(OPERATOR_SDK) $(OPM) ## Write all files of the release VERSION into dist/release.
	@for arch in $(RELEASE_ARCHITECTURES); do \
		$(MAKE) --no-print-directory image ARCH=$$arch IMAGE_BIN=$(BIN)/release/$$arch IMAGE_TAR=$(BIN)/release/$$arch/image.tar; \
		for system in $(RELEASE_SYSTEMS); do echo "building $(PLUGIN) for $$system and $$arch"; \
			GOOS=$$system GOARCH=$$arch go build -ldflags "$(LDFLAGS)" -o $(BIN)/release/$$system-$$arch/$(PLUGIN) ./cmd/$(PLUGIN); done; done
	@go run ./hack/release -version $(VERSION) -architectures "$(RELEASE_ARCHITECTURES)" -systems "$(RELEASE_SYSTEMS)" -built $(BIN)/release -out $(RELEASE_DIR) \
		-devcluster $(DEVCLUSTER) -operator-sdk $(OPERATOR_SDK) -opm $(OPM)

##@ Test

.PHONY: test
test: prerequisites $(HELM) ## Run what every change has to pass.
	@hack/stages.sh lint bundle-check test-unit test-release test-race test-fuzz test-integration+test-helm,test-olm test-netns test-devcluster test-e2e

.PHONY: test-unit
test-unit: ## Run the tests that need nothing but Go.
	go test ./...
	go -C hack/devcluster test $$(go -C hack/devcluster list ./... | grep -v /controlplane$$)
	go -C test test ./cel ./randomspec ./arpwatch ./scenario ./traffic ./procstat ./bench/peers

.PHONY: test-release
test-release: devcluster $(CONTROLLER_GEN) $(OPERATOR_SDK) $(OPM) $(HELM) $(KREW) ## Make a release twice, in different places, and compare the bytes.
	go -C test test -count=1 -timeout 30m -v ./release

# Not the tests of the mesh, which are simulations: they take more than ten minutes in an emulator.
.PHONY: test-arm64
test-arm64: ## Build the image for arm64, and run its programs and the tests of the wire in an emulator (needs qemu-user-static).
	@$(MAKE) --no-print-directory image ARCH=arm64 IMAGE_TAR=$(BIN)/linux-arm64/image.tar
	@for program in $(PROGRAMS); do qemu-aarch64-static $(BIN)/linux-arm64/$$program --version; done
	GOARCH=arm64 go test -exec qemu-aarch64-static ./internal/l2net/arp ./internal/l2net/ndp ./internal/mesh/wire ./internal/bgp/wire ./internal/bfd/...

# What has many goroutines; 1,000 connections in place of the 10,000 that test-unit makes.
# RACE=./... looks at everything, which compiles it all once more.
RACE ?= ./controllers/... ./internal/bgp/... ./internal/bfd/... ./internal/routes/... ./speaker/...

.PHONY: test-race
test-race: ## Run the unit tests of the speaker with the race detector (needs a C compiler).
	CGO_ENABLED=1 go test -race -short -timeout 20m $(RACE)

# SOAK_SEED=42 begins with a scenario that failed; LBSTACK_SEED=42 with TestRandomScenarios plays it alone.
SOAK ?= 30m

.PHONY: soak-mesh
soak-mesh: ## Play scenarios of failures in the simulated mesh for SOAK, by default 30m.
	LBSTACK_SOAK=$(SOAK) LBSTACK_SEED=$(SOAK_SEED) go test -count=1 -timeout 0 -run 'TestSoak' -v ./speaker/mesh

# Inputs of each fuzz target: all of them together take about two minutes on two
# cores. FUZZ_INPUTS=10000000 FUZZ=./internal/bgp/wire looks longer at one package.
FUZZ_INPUTS ?= 10000
FUZZ ?= ./...

.PHONY: test-fuzz
test-fuzz: ## Run every fuzz target with a bounded number of inputs.
	@hack/fuzz.sh $(FUZZ_INPUTS) $(FUZZ)

.PHONY: test-integration
test-integration: $(HELM) ## Run the tests against a real API server.
	go -C hack/devcluster test -count=1 -timeout 60m ./controlplane
	hack/integration.sh

# The speaker of the BGP tests looks for races (needs a C compiler).
.PHONY: test-netns
test-netns: export BGPSPEAKER_BUILD_FLAGS ?= -race
test-netns: export CGO_ENABLED := 1
test-netns: ## Run the tests in network namespaces (needs root).
	go -C test test -count=1 -timeout 20m ./netns/... ./router/...

.PHONY: test-devcluster
test-devcluster: ## Test the test bed itself, with a cluster of its own (needs root).
	go -C hack/devcluster test -count=1 -timeout 20m -tags e2e ./cluster

# A cluster of its own, so that the one of the demo is left alone. It goes when
# the tests pass, and stays to be looked at when they fail.
.PHONY: test-e2e
test-e2e: export LBSTACK_CLUSTER := e2e
test-e2e: NODES := 4
test-e2e: no-cluster cluster ## Run the tests on a real cluster of their own (needs root).
	go -C test test -count=1 -timeout 60m -v ./e2e/...
	@$(DEVCLUSTER) down

# A cluster of its own as well. The table is printed after every run.
RUNS ?= 5

.PHONY: soak-rollout
soak-rollout: export LBSTACK_CLUSTER := soak
soak-rollout: NODES := 4
soak-rollout: cluster ## Change the components in all ways under traffic, RUNS times, by default 5, on a real cluster of its own (needs root).
	LBSTACK_RUNS=$(RUNS) go -C test test -count=1 -timeout 0 -run TestRollout_UnderTraffic -v ./e2e
	@$(DEVCLUSTER) down

# A cluster of its own with the image, in which the chart installs the operator.
.PHONY: test-helm
test-helm: export LBSTACK_CLUSTER := helm
test-helm: prerequisites image $(HELM) no-cluster ## Install and remove lbstack with kustomize, then install, upgrade, roll back and remove it with Helm, on a cluster of its own (needs root).
	@$(DEVCLUSTER) up --nodes 2
	@$(DEVCLUSTER) load dist/image.tar
	go -C test test -count=1 -timeout 30m -v ./helm
	@$(DEVCLUSTER) down

# Also a cluster of its own, with OLM in it.
.PHONY: test-olm
test-olm: export LBSTACK_CLUSTER := olm
test-olm: prerequisites image $(OLM)/olm $(OLM)/scorecard-test $(OPM) $(OPERATOR_SDK) no-cluster ## Install, upgrade and remove lbstack by the real OLM, and run scorecard, on a cluster of their own (needs root).
	@go -C test build -o $(CURDIR)/$(OLM)/box ./olm/box
	@$(DEVCLUSTER) up --nodes 2
	@$(DEVCLUSTER) load dist/image.tar
	go -C test test -count=1 -timeout 30m -v ./olm/...
	@$(DEVCLUSTER) down

# The version that is upgraded: a commit or tag of this repository. Not a part of test: a clone may
# have no history, and the earlier version is built as well.
EARLIER ?= 4f7b19f

.PHONY: test-upgrade
test-upgrade: export LBSTACK_CLUSTER := upgrade
test-upgrade: export NODES := 4
test-upgrade: prerequisites image build-installer ## Upgrade a real cluster of its own from the version EARLIER to this one, under traffic (needs root and the history).
	@hack/upgrade.sh $(EARLIER)

# Also a cluster of its own.
.PHONY: test-migrate
test-migrate: export LBSTACK_CLUSTER := migrate
test-migrate: $(METALLB)/native.yaml cluster ## Switch Services of a real MetalLB to lbstack as docs/migrate.md says, on a real cluster of its own (needs root).
	go -C test test -count=1 -timeout 45m -v ./migrate
	@$(DEVCLUSTER) down

.PHONY: bench
bench: bench-allocator bench-allocation bench-speaker bench-mesh ## Run the benchmarks of docs/benchmarks.md that need no root.

.PHONY: bench-allocator
bench-allocator: ## Measure the allocator on one core: time, memory, growth.
	@go -C test build -o $(CURDIR)/$(BIN)/benchtable ./bench/table
	@go test -run '^$$' -bench . -cpu 1 -count $(BENCH_COUNT) ./internal/ipam | $(BIN)/benchtable

.PHONY: bench-allocation
bench-allocation: ## Measure the controller with a real API server, from its start until all Services have an address.
	@go -C test run ./bench/allocation

.PHONY: bench-speaker
bench-speaker: ## Measure what a change of one Service costs a speaker, next to others: cluster, layer 2, BGP.
	@go -C test build -o $(CURDIR)/$(BIN)/benchtable ./bench/table
	@go test -run '^$$' -bench 'OneServiceChange|OneChange|RouteChange' -cpu 1 -count $(BENCH_COUNT) \
		./speaker/kube ./speaker/layer2 ./internal/routes | $(BIN)/benchtable

.PHONY: bench-mesh
bench-mesh: ## Measure the mesh and an idle speaker with 24 to 1000 nodes: processor, packets, time until all agree on a death (needs root where users may not create user namespaces).
	@go -C test build -o $(CURDIR)/$(BIN)/benchmesh ./bench/mesh
	@go test -run '^$$' -bench 'ReceiveHeartbeat|Tick|HeartbeatReceived|HeartbeatsSent' -cpu 1 -count $(BENCH_COUNT) \
		./internal/mesh ./speaker/mesh | $(BIN)/benchmesh

.PHONY: bench-operator
bench-operator: ## Measure a pass of the operator over an unchanged stack, and a change until its object and speakers have it, with a real API server.
	@go -C test run ./bench/operator

.PHONY: bench-arp
bench-arp: ## Measure how soon ARP is answered, next to the kernel (needs root).
	@go -C test run ./bench/arp

# FAILOVER="-only planned -planned 5" measures a part, with fewer runs.
FAILOVER ?=

.PHONY: bench-failover
bench-failover: cluster ## Lose the owner of addresses in several ways, 20 times each, on a real cluster (needs root).
	@go -C test run ./bench/failover $(FAILOVER)

.PHONY: bench-bgp
bench-bgp: cluster ## Measure how soon routers have routes, and how long traffic is lost when a node is, on a real cluster (needs root).
	@go -C test run ./bench/bgp

# A cluster of its own. PEERS="-rounds 1 -faults 1 -restarts 1 -routes 10 -services 100 -idle 10s" takes minutes.
PEERS ?=

.PHONY: bench-peers
bench-peers: export LBSTACK_CLUSTER := peers
bench-peers: $(METALLB)/native.yaml cluster ## Measure lbstack, MetalLB and keepalived in turns, on a real cluster of its own (needs root).
	@hack/prerequisites.sh keepalived
	@go -C test run ./bench/peers $(PEERS)
	@$(DEVCLUSTER) down

##@ Cluster

.PHONY: cluster
cluster: prerequisites image build-installer ## Bring up a cluster with the operator installed, and no LoadBalancerStack yet.
	@$(DEVCLUSTER) up --nodes $(NODES)
	@$(DEVCLUSTER) load dist/image.tar
	@$(MAKE) --no-print-directory deploy

.PHONY: demo
demo: cluster ## Show lbstack at work on a real three-node cluster, which stays up.
	@go -C test build -o $(CURDIR)/$(BIN)/demo ./demo
	@$(BIN)/demo

# A run that failed leaves its cluster, to be looked at; the next one begins without it.
.PHONY: no-cluster
no-cluster: devcluster
	@$(DEVCLUSTER) down

.PHONY: demo-down
demo-down: devcluster ## Remove the cluster of the demo; packages and caches stay.
	@$(DEVCLUSTER) down

.PHONY: install
install: manifests ## Install the CRDs into the cluster of KUBECTL.
	$(KUBECTL) apply --server-side -k config/crd

.PHONY: deploy
deploy: build-installer ## Install CRDs and operator into the cluster of KUBECTL, and wait until it is ready.
	@$(KUBECTL) apply --server-side --force-conflicts -f dist/install.yaml
	@$(KUBECTL) -n lbstack-system rollout status deployment/lbstack-operator --timeout 180s

.PHONY: undeploy
undeploy: build-installer ## Remove the LoadBalancerStack, the operator and the CRDs from the cluster of KUBECTL.
	@$(KUBECTL) delete --ignore-not-found loadbalancerstack default
	@$(KUBECTL) delete --ignore-not-found -f dist/install.yaml
