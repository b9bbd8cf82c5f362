# The few verbs of this project; `make` lists them. Everything but Python and make comes from package indexes, pinned by hash.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup up test check bench faults
.DEFAULT_GOAL := help

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | while IFS='	' read -r verb what; do printf '  make %-8s %s\n' "$$verb" "$$what"; done

setup: $(READY) ## make the environment; starts nothing
	@echo "The environment is ready: make up, make test."

up: $(READY) ## start everything and a demo; Ctrl-C stops it
	@$(BIN)/campaigns up

test: $(READY) ## run the whole suite on real Kafka, PostgreSQL and NATS
	@$(BIN)/python -m pytest -n 3 --dist loadfile

check: $(READY) ## formatting, lint, types, and known vulnerabilities of what the image holds
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/python -m tests.image

bench: $(READY) ## measure against the denominators of docs/operate/performance.md
	@for name in emit fold snapshot; do $(BIN)/campaigns bench $$name || exit 1; done

faults: $(READY) ## kill and freeze every part while campaigns are sent; SEEDS=20: again; SOAK=30: all mixed, for 30 minutes
	@SEEDS=$(or $(SEEDS),1) SOAK=$(or $(SOAK),3) $(BIN)/python -m pytest tests/faults$(if $(SOAK),/test_soak.py)

$(READY): requirements.lock pyproject.toml connectors/local/engines/kafka.sha256
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "campaigns needs Python 3.11 or newer: install it (Debian, Ubuntu: apt-get install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "campaigns needs Python 3.11 or newer, and $(PYTHON) is older: name a newer one, for example make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing: install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Making the Python environment in .venv (once; a minute or two) ..."
	@$(PYTHON) -m venv .venv
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m connectors.local.engines.kafka_jars
	@touch $@
