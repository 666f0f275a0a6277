# Two commands need nothing but Python 3.11 to 3.13 and a package index: `make train` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LOWEST := .venv-lowest
PIP := -m pip install --quiet --disable-pip-version-check
ARGS ?=
FUZZ_MINUTES ?= 20

.PHONY: help train test quick coverage fuzz test-slow test-lowest test-pandas lint docs lock clean

help:
	@echo "make train        train both networks on Alpaca's bars where there are keys, else on simulated ones (ARGS='--symbol SPY' ...)"
	@echo "make test         run the tests"
	@echo "make quick        run those that load no TensorFlow"
	@echo "make coverage     run the tests and see which branches they take"
	@echo "make fuzz         try the doors with ever new inputs, right and wrong (FUZZ_MINUTES=20)"
	@echo "make test-slow    run the tests that take minutes"
	@echo "make test-lowest  run the tests on the lowest versions that pyproject.toml claims"
	@echo "make test-pandas  compare forecasts on each pandas from 2.2 on, in environments without extras"
	@echo "make lint         check style, types and which room imports which"
	@echo "make docs         build the documents as a site, build/site, with its pictures and the table of settings"
	@echo "make lock         choose exact versions anew"

# The lock fits Python 3.11 to 3.13 on any system; an index that has not all of its versions gets the floors. A file that
# is not the one that was locked ends the installation.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about two minutes the first time) ..."
	@if $(BIN)/python $(PIP) --require-hashes --requirement requirements.lock 2> $(VENV)/lock.log; \
	then $(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .; \
	elif grep --quiet 'DO NOT MATCH THE HASHES' $(VENV)/lock.log; then cat $(VENV)/lock.log; exit 1; \
	else echo "The exact versions of requirements.lock cannot be had here; others are taken:"; tail -n 1 $(VENV)/lock.log; \
		$(BIN)/python $(PIP) --editable '.[train,backtest,dev,docs]'; fi
	@touch $@

train: $(INSTALLED)
	@if $(BIN)/python -c 'import sys, data_handler; sys.exit(data_handler.alpaca_credentials() is None)'; \
	then source=; else source=--simulate; echo "No Alpaca keys found: training on SIMULATED bars."; fi; \
	echo "1 of 2: the roadmap's search of 20 networks." && \
	$(BIN)/python local_training.py $$source --network roadmap $(ARGS) && \
	echo && echo "2 of 2: the default forecast." && \
	$(BIN)/python local_training.py $$source $(ARGS)

# The doors are tried in a process of their own, in one order: which examples Hypothesis makes depends on what is loaded.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/edges
	$(BIN)/python -m pytest -p no:randomly tests/edges

quick: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile -m 'not train'

coverage: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/edges --cov --cov-report= --cov-fail-under=0
	$(BIN)/python -m pytest -p no:randomly tests/edges --cov --cov-append --cov-report=term:skip-covered

# Pass after pass with new examples, until the time is over or something is found; the last pass is ended as it is.
fuzz: $(INSTALLED)
	@end=$$(($$(date +%s) + 60 * $(FUZZ_MINUTES))); \
	while left=$$(($$end - $$(date +%s))); [ $$left -gt 0 ]; do \
		timeout --signal=INT $$left $(BIN)/python -m pytest tests/edges --hypothesis-profile=fuzz -x $(ARGS); \
		status=$$?; [ $$status -eq 0 ] || [ $$status -eq 124 ] || exit $$status; \
	done

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# In an environment of its own, made anew: what lies in one that is there says nothing of the floors.
test-lowest: $(INSTALLED)
	$(PYTHON) -m venv --clear $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[train,backtest,dev]'
	$(LOWEST)/bin/python -m pytest -n auto --dist loadfile --ignore tests/edges
	$(LOWEST)/bin/python -m pytest -p no:randomly tests/edges

# In environments without extras, made anew; the same numpy in all of them, whose own logarithms differ between releases.
test-pandas: $(INSTALLED)
	@for version in 2.2.3 2.3.3 3.0.0; do \
		$(PYTHON) -m venv --clear $(LOWEST) && \
		$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python . "pandas==$$version" 'numpy==2.3.5' && \
		$(LOWEST)/bin/python studies/pandas_forecasts.py > $(LOWEST)/said.txt || exit 1; \
		cat $(LOWEST)/said.txt; tail -n 1 $(LOWEST)/said.txt >> $(VENV)/forecasts.$$$$; \
	done; sort -u $(VENV)/forecasts.$$$$ | wc -l | grep --quiet '^ *1$$'; status=$$?; rm $(VENV)/forecasts.$$$$; exit $$status

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

# Links and anchors that lead nowhere end it; pictures are drawn anew.
docs: $(INSTALLED)
	$(BIN)/python studies/settings_table.py
	$(BIN)/python studies/gallery.py
	$(BIN)/mkdocs build

lock: $(INSTALLED)
	$(BIN)/uv pip compile pyproject.toml --extra train --extra backtest --extra dev --extra docs \
		--universal --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) $(LOWEST) build *.egg-info
