# Two commands need nothing but Python 3.11 to 3.13 and a package index: `make train` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=

.PHONY: help train test test-slow lint docs clean

help:
	@echo "make train      train both networks on Alpaca's bars where there are keys, else on simulated ones (ARGS='--symbol SPY' ...)"
	@echo "make test       run the tests"
	@echo "make test-slow  run the tests that take minutes"
	@echo "make lint       check style, types and which room imports which"
	@echo "make docs       write the settings' own sentences into docs/configuration.md"

$(INSTALLED): requirements.txt requirements_training.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about two minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train,dev]'
	@touch $@

train: $(INSTALLED)
	@if $(BIN)/python -c 'import sys, data_handler; sys.exit(data_handler.alpaca_credentials() is None)'; \
	then source=; else source=--simulate; echo "No Alpaca keys found: training on SIMULATED bars."; fi; \
	echo "1 of 2: the roadmap's search of 20 networks." && \
	$(BIN)/python local_training.py $$source --network roadmap $(ARGS) && \
	echo && echo "2 of 2: the default forecast, which serves from now on." && \
	$(BIN)/python local_training.py $$source $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

docs: $(INSTALLED)
	$(BIN)/python studies/settings_table.py

clean:
	rm -rf $(VENV) build *.egg-info
