# One command per intent. `make demo` and `make test` set themselves up: they need Python >= 3.11
# and a network to the package index, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Idle OpenMP threads sleep instead of spinning: on few cores they would slow the loader's workers.
export OMP_WAIT_POLICY ?= passive

.PHONY: help install demo test torture test-all check format bench preview docs clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(f"salmask_plugin needs Python >= 3.11; {sys.executable} is {sys.version.split()[0]}. Say which to use: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV): PyTorch is a large download, this takes some minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed  ## Make .venv with everything that development needs

demo: install  ## The main job, small: an encoder that learns, three recipes, on drawn pictures; a report
	$(BIN)/salmask compare experiment=demo

test: install  ## Fast tests, side by side on up to four cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

torture: install  ## Faults from outside: kills, full disks, bad files, hostile input; at most 20 minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/torture -m ''

test-all: install  ## Every test that this machine can run
	$(BIN)/python -m pytest -m ''

check: install  ## Lint, format, types, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: install  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## What a step and what views cost, into bench/: make bench PRESET=cpu or gpu
	$(BIN)/python integration/benchmarks/step_time.py $(if $(PRESET),--preset $(PRESET)) --out bench
	$(BIN)/python integration/benchmarks/view_cost.py $(if $(PRESET),--device $(if $(filter gpu,$(PRESET)),cuda,cpu)) --out bench

preview: install  ## See the masks on your own pictures: make preview IMAGES=folder
	$(BIN)/salmask preview '$(IMAGES)'

clean:  ## Remove caches and build products, never runs
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

docs: install  ## The documentation as a site in site/: warnings are errors, links are checked
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -b html docs site
