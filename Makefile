# Everything a newcomer needs: `make demo` (see it work), `make test` (see it hold). `make help` lists the rest.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
ROOMS := devices gateway models rules simulators ticketing

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test lint format bench bench-write bench-flat-out bench-500-devices bench-2000-devices bench-latency bench-store-away bench-store-share bench-models bench-rules table-packs bench-pages bench-plant lock fuzz-api bench-desk soak-kill soak-outage soak-chaos bench-wire fuzz clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Watchkeeper needs Python 3.11 or later as $(PYTHON); on Debian 12: sudo apt-get install -y python3-venv make"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null \
	  || { rm -rf $(VENV); echo "Python's venv module is missing; on Debian 12: sudo apt-get install -y python3-venv"; exit 1; }

# The stamps hold what was installed; a changed lock, asset or translation installs again.
BUILT_FROM := gateway/web/package-lock.json hatch_build.py \
  $(wildcard gateway/locale/*/LC_MESSAGES/*.po gateway/web/templates/* gateway/web/static/*.*)
$(VENV)/run.stamp: $(VENV)/bin/pip requirements/run.lock pyproject.toml $(BUILT_FROM)
	@echo "[1/2] installing the locked packages (about a minute) …"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.lock
	@echo "[2/2] building the pages' assets and installing watchkeeper …"
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.lock
	@echo "installing the packages for tests and linting …"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

setup: $(VENV)/run.stamp  ## install into .venv, without root
setup-dev: $(VENV)/dev.stamp

demo: setup  ## a simulated plant, one injected bearing fault, one work order in the browser
	@$(BIN)/watchkeeper demo

test: setup-dev  ## install real servers where allowed, then run all tests
	@PYTHON=$(BIN)/python .ci/parts
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

bench: setup-dev  ## the whole daemon against its bars (bench-flat-out, -500-devices, -2000-devices, -latency, -store-away, -store-share: one of them)
	@$(BIN)/python -m tests.bench.bench_gateway

bench-write: setup-dev  ## the same, into BENCHMARKS.md
	@$(BIN)/python -m tests.bench.bench_gateway --write

bench-flat-out bench-500-devices bench-2000-devices bench-latency bench-store-away bench-store-share: setup-dev
	@$(BIN)/python -m tests.bench.bench_gateway $(@:bench-%=%)

KILLS ?= 100
MINUTES ?= 10
soak-kill: setup-dev  ## kill -9 under load, KILLS=100 times: nothing lost, nothing doubled
	@$(BIN)/python -m tests.soak.kill --kills $(KILLS)

N ?= 1000000
soak-chaos: setup-dev  ## N=1000000 questions through the chaos proxy, Modbus RTU and TCP: no wrong value
	@$(BIN)/python -m tests.soak.chaos --transactions $(N)

PARSER ?=
$(VENV)/fuzz.stamp: $(VENV)/dev.stamp requirements/fuzz.lock
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/fuzz.lock
	@touch $@

fuzz: N := 100000
fuzz: $(VENV)/fuzz.stamp  ## a coverage-guided fuzzer over every parser, N=100000 inputs each; PARSER=modbus-rtu for one
	@$(BIN)/python -m tests.fuzz $(PARSER) --runs $(N)

bench-wire: setup-dev  ## how much of a serial line's time is used, and how late others are read while devices are dead
	@$(BIN)/python -m tests.bench.bench_wire

soak-outage: setup-dev  ## InfluxDB away for MINUTES=10: nothing lost, memory flat, fast to drain
	@$(BIN)/python -m tests.soak.outage --minutes $(MINUTES)

bench-rules: setup-dev  ## judging and backtests against their bars, into BENCHMARKS.md
	@$(BIN)/python -m tests.bench.bench_rules --write

table-packs: setup-dev  ## what the starter packs find on the simulated plant, into docs/rules.md
	@$(BIN)/python -m tests.bench.table_packs

bench-models: setup-dev  ## the shipped detectors over labelled recordings: DATA=folder of them
	@$(BIN)/python -m tests.bench.bench_models $(DATA)

EXAMPLES ?= 50
fuzz-api: setup-dev  ## Schemathesis over every operation as every role, EXAMPLES=50 of each: no error, nothing undescribed
	@$(BIN)/python -m tests.soak.api --examples $(EXAMPLES)

SCALE ?= 1
bench-desk: setup-dev  ## the ticket core: 20 000 old orders in, 12 000 orders and 120 000 reads, hit@3; SCALE=0.1 for less
	@$(BIN)/python -m tests.bench.bench_desk --scale $(SCALE)

bench-pages: setup-dev  ## the board of 12 000 orders, one order, a chart of 30 days: what the server takes
	@$(BIN)/python -m tests.bench.bench_pages

bench-plant: setup-dev  ## the soft sensors on the simulated plant: false alarms in a healthy month, lead over the rules
	@$(BIN)/python -m tests.bench.bench_plant

lint: setup-dev  ## format check, lint, types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

format: setup-dev  ## format and mend what can be mended
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock:  ## resolve the dependencies anew (needs uv)
	@uv pip compile pyproject.toml -q --python-version 3.11 --universal --extra demo --extra postgres --group build \
	  --generate-hashes --no-header --no-annotate -o requirements/run.lock
	@uv pip compile pyproject.toml -q --python-version 3.11 --universal --extra demo --extra pdf --extra postgres --group build --group dev \
	  -c requirements/run.lock --generate-hashes --no-header --no-annotate -o requirements/dev.lock
	@uv pip compile --group fuzz -q --python-version 3.11 --universal \
	  -c requirements/dev.lock --generate-hashes --no-header --no-annotate -o requirements/fuzz.lock

clean:  ## forget everything that can be made again
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache gateway/web/node_modules gateway/web/static/dist
