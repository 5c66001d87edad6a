# Needs Python 3.11+ with venv, gcc and make. Everything is installed into .venv, from pyproject.toml.
PYTHON ?= python3
PEER ?= 127.0.0.1:5673
WORKERS ?= 4
PAGE ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --upgrade-strategy only-if-needed
SOURCES := $(shell find leveret/wire leveret/core leveret/session leveret/store -name '*.py' -not -path '*/rescue/*') setup.py

.PHONY: run test check interpreted bench perf-check clients crash cluster-crash simulate migration hostile soak overload memory search-load ui ui-soak pictures differential graph methods settings reference docs examples clean

run: $(VENV)/broker  ## start the broker on port 5672, with its data in ./leveret-data
	$(BIN)/leveret serve $(ARGS)

test: $(VENV)/installed check interpreted  ## lint, types, and all tests on the compiled build
	LEVERET_EXPECT_BUILD=compiled $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --ignore tests/ui $(ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m smoke tests/ui

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

interpreted: $(VENV)/installed  ## the core tests on the same files, uncompiled
	rm -rf build/interpreted && mkdir -p build/interpreted
	cp -r leveret tests tools spec docs pyproject.toml build/interpreted/ && find build/interpreted -name '*.so' -delete
	cd build/interpreted && LEVERET_EXPECT_BUILD=interpreted ../../$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/wire tests/core tests/protocol tests/session tests/store

bench: $(VENV)/installed  ## measure; ARGS="--peer rabbitmq=127.0.0.1:5673" compares, PAGE=docs/benchmarks.md writes a page
	$(BIN)/python bench/run.py $(if $(PAGE),--page $(PAGE)) $(ARGS)

perf-check: $(VENV)/installed  ## compare instructions per message with bench/budget.toml; needs valgrind; ARGS="--update"
	$(BIN)/python tools/perf_check.py $(ARGS)

clients: $(VENV)/installed  ## test with real clients of RabbitMQ's HTTP API, downloaded to build/clients (1 GB)
	LEVERET_TEST_CLIENTS=$(CURDIR)/build/clients $(BIN)/python -m pytest tests/api/clients $(ARGS)

crash: $(VENV)/installed  ## kill brokers under load, simulate power loss, verify their data; ARGS="--kills 50 --workloads tx plain"
	$(BIN)/python tools/crash.py $(ARGS)

cluster-crash: $(VENV)/installed  ## kill broker, database, standby or both under load, and audit; ARGS="--lives 50 --strikes both"
	$(BIN)/python tools/cluster_crash.py $(ARGS)

simulate: $(VENV)/installed  ## simulate clusters in virtual time while everything fails; ARGS="--seeds 1000 --first 1"
	$(BIN)/python tools/simulate_cluster.py $(ARGS)

migration: $(VENV)/installed  ## migrate between brokers under load while killing brokers and command; ARGS="--kills 50"
	$(BIN)/python tools/migration.py $(ARGS)

hostile: $(VENV)/installed  ## attack a broker in many ways and check its behaviour; ARGS="--minutes 60 --seeds 20", ARGS=--prove
	$(BIN)/python tools/hostile.py $(ARGS)

soak: $(VENV)/installed  ## mixed load for an hour: no losses, no growth; ARGS="--minutes 10"
	$(BIN)/python tools/soak.py $(ARGS)

overload: $(VENV)/installed  ## overload a broker and measure the latency of another client; ARGS="--case purge --share 0.1"
	$(BIN)/python tools/overload.py $(ARGS)

memory: $(VENV)/installed  ## fill a broker beyond its memory budget and measure its memory; ARGS="--case unacked"
	$(BIN)/python tools/memory.py $(ARGS)

ui: $(VENV)/installed  ## all browser tests of the web UI; `make test` runs a short form
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/ui $(ARGS)

ui-soak: $(VENV)/installed  ## keep the web UI open for ten minutes with 5 000 queues and check its memory; ARGS="--minutes 2"
	$(BIN)/python tools/ui_soak.py $(ARGS)

pictures: $(VENV)/installed  ## make the screenshots for the docs; needs chromium
	$(BIN)/python tools/pictures.py $(ARGS)

search-load: $(VENV)/installed  ## search a million messages on disk and measure the latency of another client; ARGS="--messages 100000"
	$(BIN)/python tools/search_load.py $(ARGS)

differential: $(VENV)/installed  ## run the behaviour tests against Leveret and a RabbitMQ at PEER, and compare the HTTP API with recorded answers
	$(BIN)/python tools/differential.py $(PEER) --page docs/differential.md $(ARGS)
	$(BIN)/python tools/api_record.py compare --page docs/differential.md

graph:  ## show imports between folders, and import cycles
	$(PYTHON) tools/graph.py $(ARGS)

methods:  ## write leveret/wire/methods from spec/methods.toml
	$(PYTHON) tools/gen_methods.py

settings: $(VENV)/installed  ## write docs/settings.md from leveret/node/config.py
	$(BIN)/python tools/gen_settings.py

reference: $(VENV)/installed  ## write the pages of docs/ that the code tells: commands, error texts, brokers in tests
	$(BIN)/python tools/gen_reference.py

docs: $(VENV)/docs  ## build the site of docs/ into build/docs, and check its links
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky -b html -d build/doctrees docs build/docs
	cp -r docs/pictures build/docs
	@echo "build/docs/index.html"

examples:  ## copy the examples for the playground into leveret/ui/examples
	$(PYTHON) tools/copy_examples.py

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name '*.so' -not -path './.venv/*' -delete

$(VENV)/broker: pyproject.toml $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	find leveret -name '*.so' -delete  # of deleted modules
	@echo "Installing into $(VENV) and compiling. This takes one or two minutes, and only happens after code changes."
	$(PIP) -e .
	touch $@

$(VENV)/docs: $(VENV)/broker tools/requirements.py
	@echo "Installing what builds the docs."
	$(BIN)/python tools/requirements.py docs > $(VENV)/docs.txt
	$(PIP) -r $(VENV)/docs.txt
	touch $@

$(VENV)/installed: $(VENV)/broker tools/requirements.py
	@echo "Installing test dependencies."
	$(BIN)/python tools/requirements.py dev > $(VENV)/requirements.txt
	$(PIP) -r $(VENV)/requirements.txt
	touch $@
