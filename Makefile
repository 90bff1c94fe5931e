# Every habit of this project. Nothing but Python 3.11+ and make is assumed: each target first makes what it needs.

PYTHON ?= python3
VENV := .venv/bin
BOOTSTRAP = @command -v $(PYTHON) >/dev/null 2>&1 || { echo "Python is missing: install Python 3.11 or newer, or say PYTHON=/path/to/python3."; exit 1; }; \
	$(PYTHON) scripts/bootstrap.py
export ENVIRONMENT ?= development

.DEFAULT_GOAL := help
.PHONY: help run test django-suite bench night soak lint types format lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

run: ## the shop, its worker and the Stripe stand-in on http://127.0.0.1:8000 (PORT=… for another port); DB=d1 on Cloudflare's D1 engine
	$(BOOTSTRAP) $(if $(filter d1,$(DB)),--dev)
	@exec $(VENV)/python scripts/run.py $(DB)

test: ## the tests of a change; DB=postgres or DB=d1 on another real engine, ARGS="ledger -x" for a part
	$(BOOTSTRAP) --dev
	@exec $(VENV)/python scripts/test.py $(ARGS)

django-suite: ## Django's own tests on our D1 backend; LABELS="queries schema" for a part, ARGS="--backend sqlite" to compare
	$(BOOTSTRAP) --dev
	@exec $(VENV)/python scripts/django_suite.py $(ARGS) $(LABELS)

soak: ## ten thousand disordered histories of the shop, each seed repeatable (COUNT=… SEED=… JOBS=… SLOTS=…)
	$(BOOTSTRAP) --dev
	@exec $(VENV)/python scripts/soak.py

night: ## a night in which much fails, played on running processes: what is told, what holds (five minutes)
	$(BOOTSTRAP) --dev
	@exec $(VENV)/python scripts/night.py

bench: ## what pages, webhooks, the close and D1 cost, as ratios beside their goals; ARGS="pages" for a part, ARGS=--help for all
	$(BOOTSTRAP) --dev
	@PYTHONPATH=scripts exec $(VENV)/python -m bench $(ARGS)

lint: ## style (ruff), import direction (import-linter), templates (djlint)
	$(BOOTSTRAP) --dev
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/lint-imports
	$(VENV)/djlint --lint --quiet templates

types: ## mypy --strict
	$(BOOTSTRAP) --dev
	$(VENV)/mypy .

format: ## let ruff format and sort
	$(BOOTSTRAP) --dev
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

lock: ## compile requirements*.in into pinned and hashed requirements*.txt (UPGRADE=1 for new versions)
	$(BOOTSTRAP) --dev
	$(VENV)/python scripts/lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove what can be made anew; the shop's data in var/ stays
	rm -rf .venv staticfiles .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis htmlcov .coverage* kikaku/d1/engine/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.mo' -not -path './.venv/*' -delete
