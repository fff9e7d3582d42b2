# One command takes a bare Python 3.11+ machine to any of these; `make` alone lists them.
#
#   VENV=dir      where the tools live, made at need; `VENV=` takes the tools on PATH instead and sets nothing up
#   PYTHON=name   the interpreter that makes the venv
#   SPEC=file     what `make run` runs; ARGS='--set model.dim=96' is handed on
#   JOBS=n        test processes (0: in this one)
#   SLOW=paths    which slow tests `make slow` runs, by default all

VENV ?= .venv
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
SPEC ?= specs/infini_hrm.yaml
ARGS ?=
JOBS ?= auto
SLOW ?=

BIN := $(if $(VENV),$(VENV)/bin/)
READY := $(if $(VENV),$(VENV)/.ready)
PYTEST = $(BIN)pytest -q -n $(JOBS) --maxprocesses 4

# pyright otherwise asks the network whether a newer version exists.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help run test lint check fix goldens slow bench

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## Train specs/infini_hrm.yaml (or SPEC=...), set up first if need be
	$(BIN)hrmsearch run $(SPEC) $(ARGS)

test: $(READY) ## Run the tests, set up first if need be
	$(PYTEST)

lint: $(READY) ## Check style, format, import direction and types; edits nothing
	$(BIN)ruff check
	$(BIN)ruff format --check
	$(BIN)lint-imports --no-logo
	$(BIN)pyright --pythonpath "$$(command -v $(BIN)python)"

check: lint test ## All that a change must pass: lint, then test; edits nothing

fix: $(READY) ## Apply what ruff can mend
	$(BIN)ruff check --fix
	$(BIN)ruff format

goldens: $(READY) ## Rewrite tests/golden and show what changed; read it before it is committed
	$(BIN)pytest -q --update-goldens tests/golden
	git status --short tests/golden
	git diff --stat tests/golden

slow: $(READY) ## Run the slow tests, most of an hour on 2 cores; SLOW=path takes some of them
	$(PYTEST) -m slow $(SLOW)

bench: $(READY) ## Run every benchmark; each prints ratios measured in one run
	@for script in benchmarks/*.py; do \
		[ -e "$$script" ] || { echo "no benchmarks"; break; }; \
		echo "== $$script"; $(BIN)python "$$script" || exit 1; \
	done

# Done once, and again when what to install changes. torch comes first: it is most of the download.
$(VENV)/.ready: pyproject.toml setup.py constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "hrmsearch needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "cannot make a venv: install the venv module of $(PYTHON) (Debian: python3-venv)" >&2; exit 1; }
	$(BIN)python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,tinygrad,dev,plots,tensorboard]'
	@touch $@
