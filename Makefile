# Each target is one line of real work; `make test` is all of them that prove something.
SHELL := bash
PYTHON ?= python3
VENV := .venv
DIST := dist
BIN := $(VENV)/bin
PRODUCT := $(VENV)/.product
READY := $(VENV)/.ready

.PHONY: up demo test check format bench bench-micro soak dist clean test-js test-peers

up: $(PRODUCT) ## everything on this machine, until Ctrl-C
	$(BIN)/sillok up

demo: $(PRODUCT) ## the same without a person: simulated visitors, cleaned rows, balanced books
	$(BIN)/sillok demo

test: check test-js ## every test of every part
	$(BIN)/pytest --numprocesses 3 --dist worksteal --ignore tests/browser
	$(BIN)/pytest --numprocesses 2 -m "not peer" tests/browser  # apart: its driver keeps an event loop of its own in the process

test-peers: $(READY) ## the same promises with programs of others: WebKit, and Firefox where it and geckodriver are
	$(BIN)/pytest --numprocesses 2 -m peer tests/browser

test-js: ## the browser SDK's types, sizes, built file and unit tests; npm is needed for these alone
ifeq ($(shell command -v npm),)
	@echo "skipped: the browser SDK's unit tests (no npm)"
else
	cd sdk/js && npm ci --no-audit --no-fund && npm run check && npm test
endif

check: $(READY) ## style, types, import contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict sdk/python/sillok_sdk
	$(BIN)/lint-imports
	$(BIN)/python -m contract.generate --check
	$(BIN)/python -m commands.settings_list --check

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The last run is compared where there is one.
TIMED = --override-ini=addopts= -q -p no:cacheprovider --benchmark-only --benchmark-disable-gc --benchmark-autosave \
	$(if $(wildcard .benchmarks/*/*.json),--benchmark-compare)

bench: $(READY) ## figures of every part in one table; fails when a ratio is beyond tests/benchmarks/ratios.toml
	rm -f .benchmarks/run.jsonl
	$(BIN)/python -m tests.benchmarks.collector
	$(BIN)/python -m tests.benchmarks.half_load
	$(BIN)/python -m tests.benchmarks.hostile
	$(BIN)/python -m tests.benchmarks.pipeline
	$(BIN)/python -m tests.benchmarks.browser
	$(BIN)/python -m tests.benchmarks.python_sdk
	$(BIN)/python -m tests.benchmarks.driver
	$(BIN)/pytest tests/benchmarks -s $(TIMED)
	$(BIN)/python -m tests.benchmarks.table

bench-micro: $(READY) ## the micro-benchmarks alone: half a minute
	rm -f .benchmarks/run.jsonl
	$(BIN)/pytest tests/benchmarks/test_micro.py $(TIMED)
	$(BIN)/python -m tests.benchmarks.table

soak: $(READY) ## half an hour of everything with a fault every minute (as root: all faults); the crash tests and fuzzers for minutes
	$(BIN)/python -m tests.soak
	$(BIN)/pytest -m soak --override-ini=addopts= tests

dist: $(PRODUCT) ## what is carried to a machine without a network: wheels, their hashes, SBOM, deploy/, docs/
	rm -rf $(DIST) build sdk/python/build  # setuptools would pack what an older build left there
	mkdir -p $(DIST)
	$(BIN)/pip wheel --quiet --constraint constraints.txt --wheel-dir $(DIST)/wheels '.[parquet]' ./sdk/python
	rm -rf build sdk/python/build
	cp -R deploy docs $(DIST)
	$(BIN)/sillok sbom --json > $(DIST)/sbom.json
	cd $(DIST) && for wheel in wheels/*.whl; do \
		name=$${wheel#wheels/}; version=$${name#*-}; name=$${name%%-*}; hash=$$(sha256sum $$wheel); \
		case $$name in pyarrow) list=parquet.txt;; *) list=requirements.txt;; esac; \
		echo "$$name==$${version%%-*} --hash=sha256:$${hash%% *}" >> $$list; done
	cd $(DIST) && find . -type f ! -name SHA256SUMS | sort | xargs sha256sum > SHA256SUMS

clean:
	rm -rf $(VENV) $(DIST) build sdk/python/build sdk/js/node_modules sdk/js/dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks

# pip's hundred and fifty lines, as one for each package; its errors go to the terminal as they are.
INSTALL = set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --constraint constraints.txt
TOLD = | sed -un -e 's/^Collecting \([[:alnum:]_.-]*\).*/  \1/p' -e 's/^Installing collected packages.*/  … and unpacking them/p'

# Who only uses it installs only it; what tests and measures it is four times as large.
$(PRODUCT): pyproject.toml sdk/python/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Sillok needs Python 3.11 or later: make PYTHON=python3.12"; exit 1; }
	@echo "Installing Sillok into $(VENV), once: about 200 MB, a minute or two."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --editable sdk/python --editable . $(TOLD)
	@touch $@

$(READY): $(PRODUCT)
	@echo "Installing the developers' tools into $(VENV), once: about 700 MB more, some minutes."
	@$(INSTALL) --editable sdk/python --editable '.[dev]' $(TOLD)
	@touch $@
