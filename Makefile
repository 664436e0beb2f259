# Hopline's commands. `make` alone lists them; each does whatever set-up it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard packages/*/pyproject.toml shared/pyproject.toml services/*/pyproject.toml \
	workers/pyproject.toml infra/*/pyproject.toml tests/*/pyproject.toml loadtests/pyproject.toml))
COMPOSE := infra/compose/compose.yaml
REDOCLY := infra/checks/redocly
LINTER := $(if $(shell command -v npm),$(REDOCLY)/node_modules/installed)

# Compose where a Docker engine answers, else embedded; MODE=embedded|compose forces one.
MODE ?= $(if $(wildcard $(COMPOSE)),$(if $(shell docker info >/dev/null 2>&1 && echo yes),compose,embedded),embedded)
stack = $(or $(stack-$(MODE)),$(error MODE=$(MODE): expected embedded or compose))
stack-embedded = $(BIN)/python -m embedded
stack-compose = $(BIN)/python -m compose

##@ Run

.PHONY: up down status logs clean
up: $(VENV)/installed ## Start everything and wait until it is healthy
	@$(stack) up

down: $(VENV)/installed ## Stop everything, keep the data
	@$(stack) down

status: $(VENV)/installed ## Processes, databases, streams, jobs
	@$(stack) status

logs: $(VENV)/installed ## Follow the logs; of one process: S=orders
	@$(stack) logs $(S)

clean: $(VENV)/installed ## Stop everything, delete the data
	@$(stack) clean

##@ Operate

.PHONY: jobs dead-letters replay
jobs: $(VENV)/installed ## Jobs by state and kind, and the oldest that are not done
	@$(stack) jobs

dead-letters: $(VENV)/installed ## Jobs and events that were given up, with their errors
	@$(stack) dead-letters

replay: $(VENV)/installed ## Have one of them tried again: ID=<as dead-letters lists it>
	@$(stack) replay $(or $(ID),$(error which one? `make dead-letters` lists them; then make replay ID=<id>))

##@ Look

.PHONY: demo trace room walk fault
demo: $(VENV)/installed ## One order's whole journey, and its trace as a tree
	@$(BIN)/python -m console demo

trace: $(VENV)/installed ## Any trace with its log lines: ID=<trace id>
	@$(BIN)/python -m console trace $(or $(ID),$(error which trace? make trace ID=<trace id>))

room: $(VENV)/installed ## Join a product's room on two sockets, and watch its stock and viewers: SKU=MUG-ENAMEL-BLUE
	@$(BIN)/python -m console room $(or $(SKU),$(error which product? make room SKU=MUG-ENAMEL-BLUE))

walk: $(VENV)/installed ## Bring one kind of trace about and print it: W=order|redelivery|retries|timeout|crash
	@$(BIN)/python -m console walk $(or $(W),$(error which walk? make walk W=order|redelivery|retries|timeout|crash))

fault: $(VENV)/installed ## Break calls for a while: TARGET=orders KIND=slow|errors|hang|disconnect|crash|none [SOURCE= FOR= VALUE= TIMES= AT=]
	@$(BIN)/python -m console fault $(if $(TARGET),--target '$(TARGET)') $(if $(KIND),--kind '$(KIND)') \
		$(if $(SOURCE),--source '$(SOURCE)') $(if $(FOR),--for-seconds '$(FOR)') $(if $(VALUE),--value '$(VALUE)') \
		$(if $(TIMES),--times '$(TIMES)') $(if $(AT),--at '$(AT)')

##@ Develop

# These words, unless one names no path: pytest would begin, with all its workers, and end with "no tests ran".
existing = $(if $(filter -%,$(1)),$(1),$(foreach each,$(1),$(if $(wildcard $(firstword $(subst ::, ,$(each)))),$(each),\
	$(error T=$(each): there is no such path; for example: make test T=services/orders))))

.PHONY: dev migrate test coverage chaos check openapi lock
dev: $(VENV)/installed ## Start everything; a change of source restarts the services it is of: S=orders for one of them
	@$(stack-embedded) dev $(S)

migrate: $(VENV)/installed ## Bring the databases of the running stack to their newest version
	@$(stack) migrate

test: $(VENV)/installed ## All tests, on servers of their own or on DATABASE_URL and REDIS_URL; some: T=services/orders
	@$(BIN)/python -m pytest -n 4 $(call existing,$(T)) # tests mostly wait: two for each of two cores

coverage: $(VENV)/installed ## The tests with branch coverage, subprocesses included; pages in build/coverage: T=services/orders
	@mkdir -p build/coverage
	@$(BIN)/python -m pytest -n 4 --cov --cov-report=term --cov-report=xml --cov-report=html $(call existing,$(T))

chaos: $(VENV)/installed ## Break a stack of its own, fault by fault, and check what it holds: ROW=6 SEED= TIME=30s
	@$(BIN)/python -m chaos $(foreach row,$(ROW),--row '$(row)') $(if $(SEED),--seed '$(SEED)') \
		$(if $(filter-out file,$(origin TIME)),--seconds '$(TIME:s=)')

check: $(VENV)/installed $(LINTER) ## Lint, format, types, import rules, spelling, infrastructure
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(wildcard $(addsuffix /src,$(PACKAGES)) $(addsuffix /tests,$(PACKAGES)) tests/e2e tests/contracts tests/infra tests/telemetry) loadtests/bench loadtests/locustfile.py
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/python -m checks

openapi: $(VENV)/installed ## Renew docs/openapi/ from the code, unless clients would lose by it
	@$(BIN)/python -m checks.openapi

SHIPPED := $(filter packages/% shared services/% workers,$(PACKAGES))
DROP_INS := $(filter packages/%,$(PACKAGES))
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock"
# The lock of what all images have, then for each of what it has beyond that.
lock-image = printf -- '-e ./%s\n' $(1) | $(LOCK) $(addprefix --no-emit-package ,$(notdir $(1))) $(2) \
	--constraint requirements/dev.txt - -o requirements/$(3).txt
lock: $(BIN)/uv ## Resolve requirements/*.in and the packages' dependencies into hashed locks
	@$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(LOCK) requirements/node.in -o requirements/node.txt
	@printf -- '-e ./%s\n' $(PACKAGES) | $(LOCK) $(addprefix --no-emit-package ,$(notdir $(PACKAGES))) \
		requirements/dev.in - -o requirements/dev.txt
	@$(call lock-image,$(DROP_INS) shared,,runtime)
	@common=$$(sed -n 's/^\([a-z][^=]*\)==.*/--no-emit-package \1/p' requirements/runtime.txt); \
	$(foreach package,$(filter-out shared $(DROP_INS),$(SHIPPED)),$(call lock-image,$(DROP_INS) shared $(package),$$common,$(notdir $(package)));)

##@ Measure

.PHONY: bench load
bench: $(VENV)/installed ## Every figure the design promises, measured; one of them: B=dashboard
	@$(BIN)/python -m bench $(B)

USERS ?= 20
RATE ?= 5
TIME ?= 60s
load: $(VENV)/installed ## Shoppers by Locust on the running stack: USERS=20 RATE=5 TIME=60s; report in build/load
	@mkdir -p build/load
	@$(BIN)/locust --locustfile loadtests/locustfile.py --headless --users $(USERS) --spawn-rate $(RATE) --run-time $(TIME) \
		--stop-timeout 15 --only-summary --loglevel WARNING --html build/load/report.html --csv build/load/shoppers

##@ Ship

.PHONY: images kind-up kind-down
images: $(VENV)/installed ## Build the container images and show their sizes; one of them: S=orders
	@$(BIN)/python -m compose images $(S)

kind-up: $(VENV)/installed ## All of it in a kind cluster, and the demo against it
	@infra/k8s/kind-up.sh

kind-down: ## Delete the kind cluster
	@infra/k8s/kind-down.sh

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nMODE=embedded|compose forces how the stack runs (now: $(MODE)); HOPLINE_PORT_OFFSET=100 moves its ports.\n'

# Set-up: a virtual environment with exactly the locked packages and ours in editable form, renewed when they change.

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Hopline needs Python 3.11 or newer as $(PYTHON): install it, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt

$(REDOCLY)/node_modules/installed: $(REDOCLY)/package-lock.json
	@npm ci --prefix $(REDOCLY) --silent && touch $@

$(VENV)/installed: requirements/bootstrap.txt requirements/dev.txt $(addsuffix /pyproject.toml,$(PACKAGES)) | $(BIN)/uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes \
		requirements/bootstrap.txt requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ./,$(PACKAGES))
	@touch $@
