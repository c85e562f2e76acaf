# The commands of this project. `make help` lists them.
# Everything is installed into .venv by the commands themselves; versions are those of requirements/constraints.txt.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
K8S_CACHE ?= $(HOME)/.cache/edgesched/k8s-1.20.2
PIP := $(PY) -m pip --disable-pip-version-check install -q -c requirements/constraints.txt
export PIP_ROOT_USER_ACTION = ignore

.DEFAULT_GOAL := help
.PHONY: help setup run test lint fmt type layers check unit test-api test-node fuzz bench lock clean

help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(VENV)/.run: pyproject.toml requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "edgesched needs Python 3.11 or newer, found $$($(PYTHON) -V)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing edgesched into $(VENV)"
	@$(PIP) -e '.[standalone,cloud]'
	@$(PY) -m compileall -q edgesched
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "installing the development tools into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $@

setup: $(VENV)/.dev ## create .venv with everything that the other commands need

run: $(VENV)/.run ## run the main job on embedded defaults (Ctrl-C ends it)
	@$(BIN)/edgesched standalone --job examples/tutorial/myjob.yaml --job examples/tutorial/rain.yaml $(ARGS)

test: $(VENV)/.dev ## lint, types, layers and all tests that need no root
	@tools/apt.sh mosquitto mosquitto-clients openssl redis-server systemd
	@$(MAKE) --no-print-directory lint type layers unit

unit:
	@$(PY) -m pytest -q -n 4 --dist loadfile -m "not apiserver and not node and not rabbitmq and not postgresql and not systemd and not slow" $(ARGS)

test-amqp: $(VENV)/.dev ## the adapters against a real RabbitMQ
	@tools/apt.sh rabbitmq-server
	@$(PY) -m pytest -q -m rabbitmq tests/contract

test-postgresql: $(VENV)/.dev ## the cloud scheduler's tests over a real PostgreSQL
	@tools/apt.sh postgresql
	@$(PY) -m pytest -q -n 2 --dist loadfile -m "postgresql and not slow" tests/cloud $(ARGS)

lint: $(VENV)/.dev ## formatter and linter, no changes
	@$(BIN)/ruff format --check -q . || { echo "run: make fmt"; exit 1; }
	@$(BIN)/ruff check -q .

fmt: $(VENV)/.dev ## format and mend what can be mended
	@$(BIN)/ruff check -q --fix-only . ; $(BIN)/ruff format -q .

type: $(VENV)/.dev ## strict type check
	@$(BIN)/mypy --no-error-summary

layers: $(VENV)/.dev ## who may import whom
	@$(BIN)/lint-imports --no-cache >/tmp/.layers.$$$$ 2>&1 || { cat /tmp/.layers.$$$$; rm -f /tmp/.layers.$$$$; exit 1; }; rm -f /tmp/.layers.$$$$

fuzz: $(VENV)/.dev ## a million generated rules: no crash, no hang, no growth (COUNT=5000 SEED=2)
	@$(PY) -m tools.fuzz --count $(or $(COUNT),1000000) --seed $(or $(SEED),1)

bench: $(VENV)/.dev ## benchmarks: ratios to a baseline of the same run (ONLY="rules agent" for some)
	@tools/apt.sh mosquitto
	@$(PY) -m bench $(ONLY)

lock: ## bring requirements/constraints.txt up to date
	@rm -rf build/lock && $(PYTHON) -m venv build/lock && build/lock/bin/pip -q install -e '.[dev]'
	@{ echo "# Every version that CI tested; regenerate with: make lock"; build/lock/bin/pip freeze --all --exclude-editable --exclude pip; } > requirements/constraints.txt

clean: ## remove .venv and caches
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

export K8S_CACHE

test-api: $(VENV)/.dev ## tests on a real kube-apiserver; no root; builds it once per machine (5 min)
	@tools/apt.sh etcd-server openssl curl
	@tools/k8s/build.sh kube-apiserver
	@$(PY) -m pytest -q -m apiserver --timeout=600 $(ARGS)

test-node: $(VENV)/.dev ## tests on a real node with kubelet and containerd; root; builds it once per machine (11 min)
	@tools/apt.sh etcd-server openssl curl containerd runc containernetworking-plugins iproute2 busybox-static catatonit
	@tools/k8s/build.sh kube-apiserver kube-controller-manager kube-scheduler kubelet
	@$(PY) -m pytest -q -m node --timeout=1200 $(ARGS)

NODE_DIR := /tmp/edgesched-node
.PHONY: node node-down

node: $(VENV)/.dev ## a real node on this machine, with the agent's image in it, to try things out; root; see README
	@tools/apt.sh etcd-server openssl curl containerd runc containernetworking-plugins iproute2 busybox-static catatonit
	@tools/k8s/build.sh kube-apiserver kube-controller-manager kube-scheduler kubelet
	@tools/image.sh
	@mkdir -p build/images && $(PY) tools/k8s/images.py build/images
	@API_PORT=6443 IMAGES="build/edgesched.tar $$(echo build/images/*.tar)" tools/k8s/cluster.sh up node $(NODE_DIR)
	@[ -z "$$SUDO_UID" ] || chown "$$SUDO_UID" $(NODE_DIR)/kubeconfig
	@echo "export KUBECONFIG=$(NODE_DIR)/kubeconfig PATH=$(CURDIR)/$(BIN):\$$PATH"

node-down: ## take that node away
	@tools/k8s/cluster.sh down $(NODE_DIR)

test-systemd: $(VENV)/.dev ## the service under a real systemd, on a bare Debian in a container; root
	@tools/apt.sh debootstrap debian-archive-keyring systemd-container
	@$(PY) -m pytest -q -m systemd $(ARGS)

test-browser: $(VENV)/.dev tests/browser/node_modules ## tests of the pages: a headless Chromium, a validator, an accessibility checker
	@tools/apt.sh chromium
	@$(PY) -m pytest -q tests/browser $(ARGS)

tests/browser/node_modules: tests/browser/package-lock.json
	@command -v npm >/dev/null || tools/apt.sh nodejs npm
	@npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

export PREFIX DESTDIR INSTALL_DIR UNIT_DIR WHEELS

.PHONY: install uninstall

install: ## the agent as a systemd service (root; PREFIX, DESTDIR, INSTALL_DIR, UNIT_DIR, WHEELS=DIR for offline)
	@PYTHON=$(PYTHON) tools/install.sh install

uninstall: ## take the service away; configuration and state stay
	@tools/install.sh uninstall

.PHONY: docs docs-diagrams docs-logs image

docs: $(VENV)/.dev ## the documentation as a site, every link checked: build/docs/index.html
	@$(PY) -m sphinx -q -n -W --keep-going -d build/docs-cache -c docs . build/docs

docs-diagrams: $(VENV)/.dev ## draw the pictures of docs/architecture.md anew
	@$(PY) -m tools.diagrams

docs-logs: $(VENV)/.dev ## bring docs/logs.md up to date with the code
	@$(PY) -m tools.logs

docs-metrics: $(VENV)/.dev ## bring docs/metrics.md up to date with the code
	@$(PY) -m tools.metrics

image: $(VENV)/.dev ## the container image without a registry and what it holds: build/edgesched.tar, .cdx.json (root)
	@tools/image.sh

.PHONY: crash property-long
crash: $(VENV)/.dev ## kill the agent at random moments and judge the records (COUNT=20 SEED=2, REAL=1: on a real API server)
	@tools/apt.sh mosquitto $(if $(REAL),etcd-server openssl curl)
	@$(if $(REAL),tools/k8s/build.sh kube-apiserver)
	@$(PY) -u -m tools.crash --count $(or $(COUNT),1000) --seed $(or $(SEED),1) $(if $(REAL),--real "$$(mktemp -d)") $(ARGS)

property-long: $(VENV)/.dev ## what takes long: a month stopped at 100 moments, 10,000 histories, 2 min without a link
	@tools/apt.sh mosquitto
	@$(PY) -m pytest -q -n 2 --dist load -m slow tests/property tests/crash tests/e2e/test_durable.py $(ARGS)

.PHONY: bench-node
bench-node: $(VENV)/.dev ## the reference's loads on a real node, beside its figures (root; 25 min, SHORT=1: 10 min)
	@tools/apt.sh mosquitto etcd-server openssl curl containerd runc containernetworking-plugins iproute2 busybox-static catatonit
	@tools/k8s/build.sh kube-apiserver kube-controller-manager kube-scheduler kubelet
	@SHORT=$(SHORT) $(PY) -m bench node
