# Pitboss. `make` alone lists what there is. Needs Python 3.11 or newer and make; nothing else.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first Python that really runs and is new enough; `make PYTHON=/path/to/python venv` overrules.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--only-binary :all: --no-header -q

.DEFAULT_GOAL := help
.PHONY: help venv lock lint types laws check quick test long soak bench bench-replay docs run clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

venv: $(READY) ## make .venv with every package at its pinned version and hash

# pip installs only uv, by its pinned hash, and uv the rest: 2 s instead of 200 s (warm cache).
$(READY): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Pitboss needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python" >&2; exit 2; }
	@echo "Installing the packages, once: some 20 s, on a slow line a few minutes; the programs follow"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^uv==/{on=1} on{print; if(!/\\$$/) exit}' requirements-dev.txt > $(VENV)/uv.txt
	$(BIN)/python -m pip install -q --no-deps --require-hashes --only-binary :all: -r $(VENV)/uv.txt
	$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements.txt requirements-dev.txt
	@touch $@

lock: $(READY) ## pin requirements*.in anew into requirements*.txt
	$(BIN)/$(LOCK) requirements.in -o requirements.txt
	$(BIN)/$(LOCK) requirements-dev.in -o requirements-dev.txt

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict, on engine, storage, pages, studies and bench
	$(BIN)/mypy

LAWS := tests/test_architecture.py tests/test_banned_words.py tests/test_sizes.py

laws: $(READY) ## who may import whom, banned words, sizes
	$(BIN)/pytest $(LAWS)

check: lint types laws ## everything but the behaviour: lint, types, laws

# Where Python may keep no bytecode, each worker would compile pytest's plugins anew.
unexport PYTHONDONTWRITEBYTECODE

# A file of tests stays with one worker: its desk is started once. The files keep their order: those
# that start programs come first, and wait so often that four of them fill two cores. On Linux the
# workers are forks of one process that has collected; elsewhere each collects by itself.
WORKERS ?= 4
ifeq ($(shell uname),Linux)
PYTEST := $(BIN)/python -m pytest -p tests.workers --workers
else
PYTEST := $(BIN)/pytest --dist loadfile --no-loadscope-reorder -n
endif

# The rooms that decide, and what they keep: no program is started, no page is drawn.
CORES := $(addprefix tests/,bars bots caches domain executor gateway indicators risk runtime \
	storage strategies)

quick: $(READY) ## the tests of the cores, of runtime and storage, and the laws: no program, no page
	$(PYTEST) 3 -m "not soak and not programs and not long" $(CORES) $(LAWS)

test: $(READY) ## lint, types and the test suite, laws among it; without what is long
	@$(MAKE) --no-print-directory -j2 types suite

long: $(READY) ## the tests that `make test` leaves out: worlds, mutants, whole desks, browsers
	$(PYTEST) $(WORKERS) -m "long and not soak"

# The types take one core for half a minute: the tests are collected on the other.
.PHONY: suite
suite: lint
	$(PYTEST) $(WORKERS) -m "not soak and not long"

SEEDS ?= 2000
ifndef SEED
SEED := $(shell date +%s)
endif
soak: $(READY) ## runs of hours; seeds from the clock on, or SEED=...
	$(BIN)/python -m engine simulate --seed $(SEED) --seeds $(SEEDS)
	$(BIN)/pytest -m soak --timeout 0

bench: $(READY) ## the figures of this machine: ours, peer, ratio, goal
	$(BIN)/python -m bench

bench-replay: $(READY) ## the replay's rows alone, beside NautilusTrader and hftbacktest
	$(BIN)/python -m bench --only replay

docs: $(READY) ## write the tables and examples of README and docs from the code
	$(BIN)/python -m tests.write_docs

run: $(READY) ## the whole desk: demo exchange, engine, worker, dashboard; Ctrl-C stops it (ARGS="--port 8601")
	@exec $(BIN)/python -m engine up $(ARGS)

clean: ## remove what the tools left behind; .venv and var stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
