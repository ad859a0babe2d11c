PYTHON ?= python3
DIR ?= work
ARGS ?=

BIN := .venv/bin
# What an environment is made from: it is brought up to date when one of these changes.
PARTS := pyproject.toml constraints.txt $(shell find rlcourse/operations/settings -type f)
# Containers run as root, which JupyterLab refuses unless told.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test test-fast test-slow notebooks homework bench demos slides doctor

# make lab                                     the student's own copy of the lectures, work/
# make lab DIR=notebooks                       the lectures themselves, for authors
# make lab ARGS="--no-browser --port 8899"     anything that `jupyter lab` takes
lab: .venv/.lab
	$(if $(filter work,$(DIR)),$(BIN)/rlcourse sync)
	$(BIN)/jupyter lab $(ROOT) $(DIR) $(ARGS)

# Small networks learn no faster with two threads, and workers share the cores.
test test-fast test-slow: export OMP_NUM_THREADS = 1

# Three workers for two cores: the one with the browser waits more than it works.
test: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 3 -m "not slow"

test-fast: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 -m "not slow and not thorough and not notebook and not browser" tests

test-slow: .venv/.test
	$(BIN)/pytest -m slow

notebooks: .venv/.test
	$(BIN)/rlcourse execute notebooks
	$(BIN)/rlcourse readme

homework: .venv/.test
	$(BIN)/rlcourse release

bench: .venv/.test
	$(BIN)/python -m tests.benchmarks

demos: .venv/.demo
	$(BIN)/rlcourse demo $(ARGS)

slides: .venv/.slides
	$(BIN)/rlcourse slides $(ARGS)

doctor: .venv/.lab
	$(BIN)/rlcourse doctor

# pip is the last thing that venv installs: an environment cut short is made again.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v[:2] <= (3, 13) or sys.exit("rlcourse needs Python 3.11 to 3.13, but $(PYTHON) is %d.%d; name another one: make lab PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv .venv

.venv/.lab: $(PARTS) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt -e ".[lab]"
	touch $@

.venv/.demo: $(PARTS) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt -e ".[demo]"
	touch $@

.venv/.slides: $(PARTS) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt -e ".[slides]"
	touch $@

.venv/.test: $(PARTS) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt -e ".[lab,test]"
	touch $@ .venv/.lab
