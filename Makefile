# Needs Python 3.11+ with venv, gcc and make. Everything is installed into .venv, from pyproject.toml.
PYTHON ?= python3
PEER ?= 127.0.0.1:5673
WORKERS ?= 4
PAGE ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --upgrade-strategy only-if-needed
SOURCES := $(shell find leveret/wire leveret/core leveret/session leveret/store -name '*.py' -not -path '*/rescue/*') setup.py

.PHONY: run test check interpreted bench perf-check clients crash migration hostile soak overload memory search-load ui ui-soak pictures differential graph methods settings reference docs examples clean

run: $(VENV)/broker  ## start the broker on port 5672, with its data in ./leveret-data
	$(BIN)/leveret serve $(ARGS)

test: $(VENV)/installed check interpreted  ## lint, types, and all tests on the compiled build
	LEVERET_EXPECT_BUILD=compiled $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --ignore tests/ui $(ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m smoke tests/ui

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

interpreted: $(VENV)/installed  ## the tests of the core on the same files, not compiled
	rm -rf build/interpreted && mkdir -p build/interpreted
	cp -r leveret tests tools spec docs pyproject.toml build/interpreted/ && find build/interpreted -name '*.so' -delete
	cd build/interpreted && LEVERET_EXPECT_BUILD=interpreted ../../$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/wire tests/core tests/protocol tests/session tests/store

bench: $(VENV)/installed  ## measure; ARGS="--peer rabbitmq=127.0.0.1:5673" compares, PAGE=docs/benchmarks.md writes a page
	$(BIN)/python bench/run.py $(if $(PAGE),--page $(PAGE)) $(ARGS)

perf-check: $(VENV)/installed  ## instructions for a message against bench/budget.toml; needs valgrind; ARGS="--update"
	$(BIN)/python tools/perf_check.py $(ARGS)

clients: $(VENV)/installed  ## real clients of RabbitMQ's HTTP API, fetched into build/clients (1 GB)
	LEVERET_TEST_CLIENTS=$(CURDIR)/build/clients $(BIN)/python -m pytest tests/api/clients $(ARGS)

crash: $(VENV)/installed  ## kill brokers under load, cut their power, audit them; ARGS="--kills 50 --workloads tx plain"
	$(BIN)/python tools/crash.py $(ARGS)

migration: $(VENV)/installed  ## move from one broker to another under load, and kill both and the command; ARGS="--kills 50"
	$(BIN)/python tools/migration.py $(ARGS)

hostile: $(VENV)/installed  ## attack a broker in every way, and judge it; ARGS="--minutes 60 --seeds 20", ARGS=--prove
	$(BIN)/python tools/hostile.py $(ARGS)

soak: $(VENV)/installed  ## a mixed load for an hour: nothing lost, nothing grows; ARGS="--minutes 10"
	$(BIN)/python tools/soak.py $(ARGS)

overload: $(VENV)/installed  ## ask too much of a broker, and time a quiet client beside it; ARGS="--case purge --share 0.1"
	$(BIN)/python tools/overload.py $(ARGS)

memory: $(VENV)/installed  ## let a broker hold more than its budget, and see what it needs; ARGS="--case unacked"
	$(BIN)/python tools/memory.py $(ARGS)

ui: $(VENV)/installed  ## all tests of the web UI, in a browser; `make test` has a short form of them
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/ui $(ARGS)

ui-soak: $(VENV)/installed  ## the web UI, open for ten minutes with 5 000 queues: its memory stays flat; ARGS="--minutes 2"
	$(BIN)/python tools/ui_soak.py $(ARGS)

pictures: $(VENV)/installed  ## the pictures of the docs, from a broker with a shop on it; needs chromium
	$(BIN)/python tools/pictures.py $(ARGS)

search-load: $(VENV)/installed  ## search a million messages on the disk, and time a client beside it; ARGS="--messages 100000"
	$(BIN)/python tools/search_load.py $(ARGS)

differential: $(VENV)/installed  ## the behaviour tests against Leveret and a RabbitMQ at PEER, and the HTTP API against its recorded answers
	$(BIN)/python tools/differential.py $(PEER) --page docs/differential.md $(ARGS)
	$(BIN)/python tools/api_record.py compare --page docs/differential.md

graph:  ## who imports whom, by folder, and circles of files
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

examples:  ## copy the examples that the playground shows into leveret/ui/examples
	$(PYTHON) tools/copy_examples.py

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name '*.so' -not -path './.venv/*' -delete

$(VENV)/broker: pyproject.toml $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	find leveret -name '*.so' -delete  # of modules that are gone
	@echo "Installing into $(VENV) and compiling. This takes a minute or two, and only happens when the code has changed."
	$(PIP) -e .
	touch $@

$(VENV)/docs: $(VENV)/broker tools/requirements.py
	@echo "Installing what builds the docs."
	$(BIN)/python tools/requirements.py docs > $(VENV)/docs.txt
	$(PIP) -r $(VENV)/docs.txt
	touch $@

$(VENV)/installed: $(VENV)/broker tools/requirements.py
	@echo "Installing what the tests need."
	$(BIN)/python tools/requirements.py dev > $(VENV)/requirements.txt
	$(PIP) -r $(VENV)/requirements.txt
	touch $@
