# Run `make` or `make help` for the list of commands.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Outside of a machine that offers a CPU build by itself, PyTorch's CPU index saves gigabytes; see README.
TORCH_INDEX_URL ?=
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL),)
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

# Only what is given here is exported; the rest may stand in the environment or in .env.
ifdef SYMBOLS
# In quotes: "VALE3, ITUB4" is one list. closecast reads its commas, semicolons and blanks.
quote := '
comma := ,
SYMBOLS_OPTION := --symbols '$(subst $(quote),,$(SYMBOLS))'
SYMBOL ?= $(firstword $(subst ;, ,$(subst $(comma), ,$(subst ",,$(subst $(quote),,$(SYMBOLS))))))
endif
ifdef SYMBOL
export CLOSECAST_DEFAULT_SYMBOL := $(SYMBOL)
endif
ifdef SOURCE
export CLOSECAST_SOURCE := $(SOURCE)
endif
ifdef WORKERS
export CLOSECAST_WORKERS := $(WORKERS)
endif
ifdef PORT
export CLOSECAST_PORT := $(PORT)
endif

.PHONY: help install serve replay test fuzz lint format docs bench clients house chaos siege lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

# torch comes first and alone: any other way pulls gigabytes of CUDA packages.
$(VENV)/.torch: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH_INDEX) torch==2.13.0
	@touch $@

# The installation compiles the inner loops of drift, too, if there is a C compiler.
$(VENV)/.train: $(VENV)/.torch pyproject.toml constraints.txt src/closecast/drift/native.c scripts/compile_drift.py
	$(PIP) -c constraints.txt -e ".[train]"
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	$(PIP) -c constraints.txt -e ".[train,dev]"
	@touch $@

install: $(VENV)/.dev ## Create .venv with everything for development

serve: $(VENV)/.train ## Serve; train on real closes first if there is no model yet (SYMBOL=, SYMBOLS=, SOURCE=, PORT=, WORKERS=)
	exec $(BIN)/closecast serve --train-if-missing $(SYMBOLS_OPTION)

replay: $(VENV)/.train ## Walk the sample through the API day by day with a set clock; fills a ledger of its own
	$(BIN)/python -m scripts.06_replay $(SYMBOLS_OPTION)

test: $(VENV)/.dev lint ## Lint, type-check and test everything
	$(BIN)/pytest --junitxml results/tests.xml

fuzz: $(VENV)/.dev ## 100,000 spoiled requests: is each answered as documented (CASES=, SEED=, MINUTES=)
	$(BIN)/python -m tests.system.fuzz --cases $(or $(CASES),100000) --seed $(or $(SEED),0) --minutes $(or $(MINUTES),60)

lint: $(VENV)/.dev ## Ruff, import contracts, mypy, bandit, and known vulnerabilities of dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/bandit -q -r src api scripts -c pyproject.toml
	$(BIN)/python -m scripts.audit_dependencies

format: $(VENV)/.dev ## Let ruff format and repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## Build the documentation site into results/site (README.md and docs/ are its sources)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict -f docs/mkdocs.yml

bench: $(VENV)/.dev ## A benchmark by name, or the list of them (NAME=serve, OPTIONS='--quick')
	$(BIN)/python -m benchmarks $(NAME) $(OPTIONS)

clients: $(VENV)/.dev ## Generate Python and TypeScript clients from the OpenAPI document, without a warning, and call a service with them
	$(BIN)/python -m scripts.check_clients

house: $(VENV)/.dev ## Figures of the code itself: entries, ranks, files per prediction, words, lines, docs
	$(BIN)/python -m benchmarks.house

chaos: $(VENV)/.dev ## kill -9, full disk, damaged files, clocks that jump: nothing promised is lost (10 minutes; KILLS=, SEED=, MINUTES=)
	$(BIN)/python -m tests.system.chaos --kills $(or $(KILLS),100) --seed $(or $(SEED),0) --minutes $(or $(MINUTES),12)

siege: $(VENV)/.dev ## Hostile connections beside a checked load, with one worker and two (5 minutes; SECONDS=, IDLE=, SEED=)
	$(BIN)/python -m tests.system.siege --seconds $(or $(SECONDS),120) --idle $(or $(IDLE),10000) --seed $(or $(SEED),0)

lock: ## Resolve poetry.lock again and export constraints.txt (needs poetry with the export plugin)
	poetry lock
	poetry export --all-extras --without-hashes -f constraints.txt -o constraints.txt

clean: ## Remove the environment, caches and what runs produced; API keys and the ledger stay
	rm -rf $(VENV) .import_linter_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find models data mlruns results -mindepth 1 -not -name README.md \
		-not -path data/api_keys.json -not -path 'data/ledger.sqlite*' -delete
