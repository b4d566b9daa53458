# Every command that people type. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
DATA := $(wildcard ../shared/data)
export CONTINUUM_DATA ?= $(if $(DATA),$(abspath $(DATA)))
ifeq ($(CONTINUUM_DATA),)
unexport CONTINUUM_DATA
endif
WORKERS ?= 3

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

.PHONY: venv
venv: .venv/locked ## install every locked version into .venv (done once; again when the lock changes)

.venv/locked: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than Python 3.11. To mend it: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "installing into .venv (about half a minute, once)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "make: venv failed. To mend it: install Python's venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: venv ## forecast and scale a simulated fleet once, and write report.html
	@$(BIN)/continuum demo

.PHONY: up
up: venv ## simulated fleet, Prefect server, worker and schedules, until Ctrl-C
	@$(BIN)/continuum up

.PHONY: test
test: venv ## every test
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: test-quick
test-quick: venv ## every test but those that start a Prefect server, a browser or faults
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not server' --ignore tests/faults

.PHONY: test-faults
test-faults: venv ## 500 faults against moves of workloads: a table, and build/faults.json
	@CONTINUUM_MOVE_FAULTS=$${CONTINUUM_MOVE_FAULTS:-500} $(BIN)/pytest -s --show-capture=no tests/faults/test_move_campaign.py tests/flows/test_workload_migration.py

.PHONY: test-production
test-production: venv ## two servers, two workers, kills and a rolling restart during 200 runs (needs PostgreSQL, Redis, nginx)
	@CONTINUUM_PRODUCTION_RUNS=$${CONTINUUM_PRODUCTION_RUNS:-200} $(BIN)/pytest -s tests/deployments/server/test_production.py

.PHONY: lint
lint: venv ## format, style, types, import contracts, dependencies, spelling, insecure calls
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/ruff check --quiet --config .ci/decide.toml $(wildcard tasks/*/decide tasks/*/decide.py)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/deptry .
	@$(BIN)/codespell
	@$(BIN)/bandit --quiet --recursive -ll flows tasks blocks deployments 2> >(grep -v 'but no failed test' >&2)

.PHONY: bench bench-series bench-forecast bench-forecast-flow bench-anomalies bench-scaling bench-plan bench-placement bench-carbon bench-migration bench-energy bench-federation bench-rollout bench-simulation bench-caching bench-edge bench-flower bench-database bench-overhead
bench: bench-series bench-forecast bench-forecast-flow bench-anomalies bench-scaling bench-plan bench-placement bench-carbon bench-migration bench-energy bench-federation bench-rollout bench-simulation bench-caching bench-edge bench-flower bench-database bench-overhead ## every benchmark
bench-series: venv ## reading and writing series files
	@$(BIN)/python tests/benchmarks/bench_series.py
bench-forecast: venv ## accuracy and speed of the engines, beside other libraries
	@$(BIN)/python tests/benchmarks/bench_forecast.py
bench-anomalies: venv ## recall, false alerts and speed of the anomaly detector
	@$(BIN)/python tests/benchmarks/bench_anomalies.py
bench-forecast-flow: venv ## the forecast flow end to end, 10,000 series
	@$(BIN)/python tests/benchmarks/bench_forecast_flow.py
bench-scaling: venv ## policies replayed on real demand, a decision pass over 10,000 pools, a flow run over 1,000
	@$(BIN)/python tests/benchmarks/bench_scaling.py
	@$(BIN)/python tests/benchmarks/bench_scaling_flow.py
bench-plan: venv ## a 24-hour plan of 10,000 pools
	@$(BIN)/python tests/benchmarks/bench_plan.py
bench-migration: venv ## migration policies beside the offline optimum, a decision pass of a large fleet
	@$(BIN)/python tests/benchmarks/bench_migration.py
	@$(BIN)/python tests/benchmarks/bench_migration_flow.py
bench-energy: venv ## how far the power model is off measured watts, beside the seed's formula
	@$(BIN)/python tests/benchmarks/bench_energy.py
bench-placement: venv ## workloads, sites, replicas, GPUs, traffic and latency, beside other ways
	@$(BIN)/python tests/benchmarks/bench_placement.py
	@$(BIN)/python tests/benchmarks/bench_placement_gpus.py
	@$(BIN)/python tests/benchmarks/bench_placement_traffic.py
	@$(BIN)/python tests/benchmarks/bench_placement_latency.py
bench-carbon: venv ## a paper's table beside ours, the exact planner's speed, forecasts by regret
	@$(BIN)/python tests/benchmarks/bench_carbon.py
bench-caching: venv ## plans for edge caches beside reactive policies, a flushed site, dense sites, speed
	@$(BIN)/python tests/benchmarks/bench_caching.py
	@$(BIN)/python tests/benchmarks/caching_trees.py
bench-federation: venv ## training over devices that fail and lie, aggregation, the cascade
	@$(BIN)/python tests/benchmarks/bench_federation.py
bench-rollout: venv ## a model to 1,000 simulated edges of which some die, killed and carried on
	@$(BIN)/python -m tests.benchmarks.bench_rollout
bench-edge: venv ## the edge agent: CPU a request, memory, a round of 20 processes
	@$(BIN)/python tests/benchmarks/bench_edge.py
bench-flower: venv ## a real Flower federation in an environment of its own: CPU and memory of a client, beside bench-edge
	@$(BIN)/python tests/benchmarks/bench_flower.py
bench-database: venv ## how much Prefect's database grows, before and after retention (needs PostgreSQL)
	@PREFECT_LOGGING_LEVEL=WARNING $(BIN)/python -m tests.benchmarks.bench_database
bench-overhead: venv ## how much of each flow's wall time is Prefect's, at the demo's size and over 1,000 clusters
	@PREFECT_LOGGING_LEVEL=WARNING $(BIN)/python -m tests.benchmarks.bench_overhead
bench-simulation: venv ## speed and memory of the simulated fleet
	@$(BIN)/python tests/benchmarks/bench_simulation.py

.PHONY: soak soak-day
MINUTES ?= 60
HOURS ?= 24
soak: venv ## all schedules of `continuum up` for 60 real minutes (MINUTES=n): crashed, late, locked
	@$(BIN)/python tests/benchmarks/soak.py --minutes $(MINUTES)
soak-day: venv ## every scheduled flow over 24 simulated hours in one process (HOURS=n): failures, memory
	@MALLOC_ARENA_MAX=2 $(BIN)/python tests/benchmarks/soak_day.py --hours $(HOURS)

.PHONY: screenshots
screenshots: venv ## what the browser tests see, as pictures in build/screenshots (needs Chromium)
	@CONTINUUM_SCREENSHOTS=build/screenshots $(BIN)/pytest tests/browser

.PHONY: sbom audit
sbom: venv ## every locked package as CycloneDX, in build/sbom.json
	@mkdir -p build && $(BIN)/uv tool run --quiet --from 'cyclonedx-bom>=7' cyclonedx-py requirements requirements.lock --output-file build/sbom.json
audit: venv ## known holes of the locked packages; a package that the database cannot be asked about is named
	@$(BIN)/uv tool run --quiet 'pip-audit>=2.9' --requirement requirements.lock --disable-pip

.PHONY: lock
lock: ## resolve every dependency anew into requirements.lock (needs .venv)
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --all-extras --group dev pyproject.toml --output-file requirements.lock
	@! grep -nE 'https?://|index-url' requirements.lock || { echo "requirements.lock names an index" >&2; exit 1; }

.PHONY: clean
clean: ## remove .venv and caches (state in CONTINUUM_HOME stays)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
