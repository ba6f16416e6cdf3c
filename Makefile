# `make help` lists what can be done. Every target first makes .venv when it is missing or pyproject.toml is newer.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-cluster test-lowest lint format bench gpu figures docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("sgdtheory needs Python 3.11 or newer: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

install: $(STAMP) ## .venv with the package and what developers need

demo: $(STAMP) ## the pipelines on their defaults, real data, some minutes
	$(BIN)/sgdtheory train
	$(BIN)/sgdtheory connect
	$(BIN)/sgdtheory sweep-temperature
	@echo; echo "reports:"; ls -1t runs/*/*/report.html | head -3

test: $(STAMP) ## the test suite
	$(BIN)/pytest -n 2 --dist worksteal -m 'not slow'

test-slow: $(STAMP) .venv/.docs ## the tests that take minutes
	$(BIN)/pytest -m slow

test-cluster: $(STAMP) ## the tests of Slurm, where `sbatch` is, and of Ray (pip install '.[slurm,ray]')
	$(BIN)/pytest -m 'cluster or ray'

test-lowest: .venv-lowest/.installed ## the test suite on the lowest versions that pyproject.toml allows
	.venv-lowest/bin/pytest -n 2 --dist worksteal -m 'not slow'

.venv-lowest/.installed: pyproject.toml scripts/lowest.py
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) scripts/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -c .venv-lowest/constraints.txt --editable '.[dev]'
	@touch $@

lint: $(STAMP) ## ruff, mypy and codespell
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell sgdtheory configs tests scripts docs examples *.md Makefile pyproject.toml mkdocs.yml Dockerfile

format: $(STAMP) ## ruff's formatting and safe fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP) ## speed, as ratios to the physical floor measured in the same run
	$(BIN)/python scripts/bench.py

gpu: $(STAMP) ## what a CUDA device does with this, in eight minutes: docs/gpu.md (PACK=cifar10.npz for networks on CIFAR-10)
	$(BIN)/python scripts/gpu.py $(if $(PACK),--pack $(PACK))

figures: $(STAMP) ## run every default and every study, and write docs/theory.md from them (half an hour)
	$(BIN)/python scripts/figures.py

.venv/.docs: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

# Material says in a box, on every build, that another program will follow MkDocs
docs: .venv/.docs ## the site into build/site, from files alone; open build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean: ## remove what was built, but no runs
	rm -rf .venv .venv-lowest build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
