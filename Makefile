# Everything a developer runs. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .demo
export DAGSTER_DISABLE_TELEMETRY := yes
# Dagster is many short processes: what each imports is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-month check docs bench bench-works bench-serving bench-status bench-kills bench-backfill components clean dashboard screenshots

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## Install into .venv, pinned by constraints.txt

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; say make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,postgres]'
	@touch $@

demo: .venv/ready ## Materialise a small demo company under .demo and print what was found
	@$(BIN)/kubecost-pipelines demo $(DEMO)

dev: .venv/ready ## Open Dagster and the dashboard: on your settings, or on the demo where there are none
	@$(BIN)/kubecost-pipelines dev $(DEMO)

# Three at once on two cores, for a third of the time is spent waiting for servers; in memory, where there is room, for
# what the tests write need not survive them, and hundreds of small databases wait long for a disk.
MEMORY := /dev/shm
test: .venv/ready ## Run all tests
	@room=$$(df --output=avail $(MEMORY) 2>/dev/null | tail -1); [ "$${room:-0}" -lt 4000000 ] || export TMPDIR=$(MEMORY); \
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-month: .venv/ready ## Let a whole month's bill arrive day by day, restated twice and finalised (ten minutes)
	WHOLE_MONTH=1 $(BIN)/python -m pytest kubecost_pipelines_tests/defs/test_a_month_arrives.py

check: .venv/ready ## Format, lint, types, layers, and docs that match the code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m kubecost_pipelines.cli.docs --check

docs: .venv/ready ## Write what is generated: pages of docs/, columns of deploy/terraform
	$(BIN)/python -m kubecost_pipelines.cli.docs

bench: .venv/ready ## Measure speed and memory: `bench-works`, then `bench-serving` (twenty minutes)
	@$(BIN)/python -m benchmarks; missed=$$?; $(BIN)/python -m benchmarks.serving && exit $$missed

bench-works: .venv/ready ## Measure what runs do as paired ratios
	@$(BIN)/python -m benchmarks

dashboard: ## Build the dashboard from its sources (needs Node 20 or later)
	cd kubecost_pipelines/dashboard/ui && npm ci --no-audit --no-fund --silent && npm run --silent build

screenshots: .venv/ready ## Take the pictures of README.md (needs Chromium)
	$(BIN)/python -m kubecost_pipelines_tests.dashboard.screenshots

bench-status: .venv/ready ## Time `status` for 100 bills × 3 years
	@$(BIN)/python -m benchmarks.status

bench-serving: .venv/ready ## Time questions to `serve` about a year of 20,000 workloads a day
	@$(BIN)/python -m benchmarks.serving

bench-kills: .venv/ready ## Kill 25 run workers while they write, and look at the lake
	@$(BIN)/python -W ignore -m benchmarks.kills

bench-backfill: .venv/ready ## Time 365 days of one bill in one run, on SQLite and on PostgreSQL
	@$(BIN)/python -W ignore -m benchmarks.backfill sqlite
	@$(BIN)/python -W ignore -m benchmarks.backfill postgres

components: ## Install what tests need beyond PyPI: servers, Chromium, helm, kubectl, actionlint
	bash .ci/components

clean: ## Remove what the demo and the benchmarks left
	rm -rf $(DEMO) .bench
