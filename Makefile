# Hopline's commands. `make` alone lists them. Each command sets up .venv if necessary.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
unexport PYTHONDONTWRITEBYTECODE # with bytecode, collecting the tests takes 5 s of CPU time instead of 9

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard packages/*/pyproject.toml shared/pyproject.toml services/*/pyproject.toml \
	workers/pyproject.toml infra/*/pyproject.toml tools/*/pyproject.toml tests/*/pyproject.toml loadtests/pyproject.toml))
COMPOSE := infra/compose/compose.yaml
REDOCLY := tools/checks/redocly
WEB := services/gateway/web
NODE_TOOLS := $(if $(shell command -v npm),$(addsuffix /node_modules/installed,$(REDOCLY) $(WEB)))

# Compose if a Docker engine is available, otherwise embedded. MODE=embedded|compose overrides this.
MODE ?= $(if $(wildcard $(COMPOSE)),$(if $(shell docker info >/dev/null 2>&1 && echo yes),compose,embedded),embedded)
stack = $(or $(stack-$(MODE)),$(error Unknown MODE '$(MODE)'. Expected one of: embedded, compose))
stack-embedded = $(BIN)/python -m embedded
stack-compose = $(BIN)/python -m compose

##@ Run

.PHONY: up down status logs clean
up: $(VENV)/installed ## Start the stack and wait until it is healthy
	@$(stack) up

down: $(VENV)/installed ## Stop the stack and keep its data
	@$(stack) down

status: $(VENV)/installed ## Show processes, databases, streams and jobs
	@$(stack) status

logs: $(VENV)/installed ## Follow the logs of all processes, or of one: S=orders
	@$(stack) logs $(S)

clean: $(VENV)/installed ## Stop the stack and delete its data
	@$(stack) clean

##@ Operate

.PHONY: jobs dead-letters replay
jobs: $(VENV)/installed ## Count jobs by state and type, and list the pending ones by due time
	@$(stack) jobs

dead-letters: $(VENV)/installed ## List dead jobs and events with their errors
	@$(stack) dead-letters

replay: $(VENV)/installed ## Retry one of them: ID=<id from make dead-letters>
	@$(stack) replay $(or $(ID),$(error Missing ID. `make dead-letters` lists the ids; then run: make replay ID=<id>))

##@ Look

.PHONY: demo top trace room walk fault
demo: $(VENV)/installed ## Place an order, follow it through every service, and print its trace
	@$(BIN)/python -m console demo

top: $(VENV)/installed ## Show rates, durations, queues and pools, refreshed every 2 s until q or Ctrl-C
	@$(BIN)/python -m console top

trace: $(VENV)/installed ## Print a trace with its log records: ID=<trace id>
	@$(BIN)/python -m console trace $(or $(ID),$(error Missing ID. Run: make trace ID=<trace id>))

room: $(VENV)/installed ## Join the room of a product with two sockets and watch its stock and viewers: SKU=MUG-ENAMEL-BLUE
	@$(BIN)/python -m console room $(or $(SKU),$(error Missing SKU. Run: make room SKU=MUG-ENAMEL-BLUE))

walk: $(VENV)/installed ## Produce one kind of trace and print it: W=order|redelivery|retries|timeout|crash
	@$(BIN)/python -m console walk $(or $(W),$(error Missing W. Run: make walk W=order|redelivery|retries|timeout|crash))

fault: $(VENV)/installed ## Inject a fault into calls: TARGET=orders KIND=slow|errors|hang|disconnect|crash|none [SOURCE= FOR= VALUE= TIMES= AT=]
	@$(BIN)/python -m console fault $(if $(TARGET),--target '$(TARGET)') $(if $(KIND),--kind '$(KIND)') \
		$(if $(SOURCE),--source '$(SOURCE)') $(if $(FOR),--for-seconds '$(FOR)') $(if $(VALUE),--value '$(VALUE)') \
		$(if $(TIMES),--times '$(TIMES)') $(if $(AT),--at '$(AT)')

##@ Develop

# The words of T, or an error if a word is not a path. pytest would start all its workers before it reports the wrong path.
existing = $(if $(filter -%,$(1)),$(1),$(foreach each,$(1),$(if $(wildcard $(firstword $(subst ::, ,$(each)))),$(each),\
	$(error T=$(each): there is no such path. Example: make test T=services/orders))))

.PHONY: dev migrate test coverage chaos check web openapi lock
dev: $(VENV)/installed ## Start the stack and restart a service when its source changes; only one: S=orders
	@$(stack-embedded) dev $(S)

migrate: $(VENV)/installed ## Migrate the databases of the running stack
	@$(stack) migrate

test: $(VENV)/installed $(filter $(WEB)/%,$(NODE_TOOLS)) ## Run all tests, on new servers or on DATABASE_URL and REDIS_URL; a part: T=services/orders
	@$(BIN)/python -m pytest -n 4 $(call existing,$(T)) # four workers for two cores, because tests mostly wait

coverage: $(VENV)/installed $(filter $(WEB)/%,$(NODE_TOOLS)) ## Run the tests with branch coverage, including subprocesses; report in build/coverage: T=services/orders
	@mkdir -p build/coverage
	@$(BIN)/python -m pytest -n 4 --cov --cov-report=term --cov-report=xml --cov-report=html $(call existing,$(T))

chaos: $(VENV)/installed ## Inject every fault into a separate stack and verify its data: ROW=6 SEED= TIME=30s
	@$(BIN)/python -m chaos $(foreach row,$(ROW),--row '$(row)') $(if $(SEED),--seed '$(SEED)') \
		$(if $(filter-out file,$(origin TIME)),--seconds '$(TIME:s=)')

check: $(VENV)/installed $(NODE_TOOLS) ## Check lint, format, types, import rules, spelling and infrastructure
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(wildcard $(addsuffix /src,$(PACKAGES)) $(addsuffix /tests,$(PACKAGES)) tests/e2e tests/contracts tests/infra tests/telemetry) loadtests/bench loadtests/locustfile.py
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/python -m checks

web: $(WEB)/node_modules/installed ## Build the browser application into services/gateway/src/gateway/assets
	@npm run --silent --prefix $(WEB) build

openapi: $(VENV)/installed ## Update docs/openapi/ from the code; fails if a change would break clients
	@$(BIN)/python -m checks.openapi

# The client of the shop is for tools and tests only.
DROP_INS := $(filter-out packages/hopline-client,$(filter packages/%,$(PACKAGES)))
SHIPPED := $(DROP_INS) $(filter shared services/% workers,$(PACKAGES))
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock"
# One lock for the packages of all images, then one per image for its additional packages.
lock-image = printf -- '-e ./%s\n' $(1) | $(LOCK) $(addprefix --no-emit-package ,$(notdir $(1))) $(2) \
	--constraint requirements/dev.txt - -o requirements/$(3).txt
lock: $(BIN)/uv ## Resolve requirements/*.in and the dependencies of the packages into hashed locks
	@$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(LOCK) requirements/node.in -o requirements/node.txt
	@printf -- '-e ./%s\n' $(PACKAGES) | $(LOCK) $(addprefix --no-emit-package ,$(notdir $(PACKAGES))) \
		requirements/dev.in - -o requirements/dev.txt
	@$(call lock-image,$(DROP_INS) shared,,runtime)
	@common=$$(sed -n 's/^\([a-z][^=]*\)==.*/--no-emit-package \1/p' requirements/runtime.txt); \
	$(foreach package,$(filter-out shared $(DROP_INS),$(SHIPPED)),$(call lock-image,$(DROP_INS) shared $(package),$$common,$(notdir $(package)));)

##@ Measure

.PHONY: bench load
bench: $(VENV)/installed ## Run all benchmarks and compare them with their targets; only one: B=dashboard
	@$(BIN)/python -m bench $(B)

USERS ?= 20
RATE ?= 5
TIME ?= 60s
load: $(VENV)/installed ## Load the running stack with Locust: USERS=20 RATE=5 TIME=60s; report in build/load
	@mkdir -p build/load
	@$(BIN)/locust --locustfile loadtests/locustfile.py --headless --users $(USERS) --spawn-rate $(RATE) --run-time $(TIME) \
		--stop-timeout 15 --only-summary --loglevel WARNING --html build/load/report.html --csv build/load/shoppers

##@ Ship

.PHONY: images kind-up kind-down
images: $(VENV)/installed ## Build the container images and show their sizes; only one: S=orders
	@$(BIN)/python -m compose images $(S)

kind-up: $(VENV)/installed ## Start the stack in a kind cluster and run the demo against it
	@infra/k8s/kind-up.sh

kind-down: ## Delete the kind cluster
	@infra/k8s/kind-down.sh

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nMODE=embedded|compose selects how the stack runs (now: $(MODE)). HOPLINE_PORT_OFFSET=100 moves its ports.\n'

# Setup: a virtual environment with the locked packages and Hopline's packages in editable form. It is updated when they change.

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Hopline needs Python 3.11 or newer as $(PYTHON). Install it, or select another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot create virtual environments. Install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt

%/node_modules/installed: %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing (Debian: apt install nodejs npm)" >&2; exit 1; }
	@npm ci --prefix $* --loglevel=error >/dev/null && touch $@

$(VENV)/installed: requirements/bootstrap.txt requirements/dev.txt $(addsuffix /pyproject.toml,$(PACKAGES)) | $(BIN)/uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes \
		requirements/bootstrap.txt requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ./,$(PACKAGES))
	@touch $@
