.DEFAULT_GOAL := help
.PHONY: setup lock experiment resume compare score sample tag list bench ui server test lint help
.SILENT:

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
# The Python that makes .venv: PYTHON if it is given, else the newest of these that works. A command
# can exist without a Python behind it, as pyenv's do, so each is tried. A .venv that works keeps its
# Python unless PYTHON is given.
PYTHONS := 3.13 3.12 3.11
IS_SUPPORTED := -c 'import sys, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] not in "$(PYTHONS)".split())'
ifeq ($(PYTHON),)
# Searched for when first used, and once.
PYTHON = $(eval PYTHON := $(shell for each in $(wildcard $(RUN)) $(PYTHONS:%=python%); do \
	$$each $(IS_SUPPORTED) 2> /dev/null && echo $$each && break; done))$(PYTHON)
else
EXACT := --exact
$(READY): FORCE
endif
QUOTED_PYTHON = '$(subst ','\'',$(PYTHON))'
REQUIRE_PYTHON = $(QUOTED_PYTHON) $(IS_SUPPORTED) 2> /dev/null || { echo "Expected a command that \
	runs Python 3.11, 3.12 or 3.13 with its modules venv and ensurepip, got $(or $(PYTHON),none on PATH).\
	Install such a Python, or name its command: make PYTHON=<command> ..." >&2; exit 2; }
# glibc returns memory to the kernel after every training step and takes it again page by page, which
# is up to a third of an LSTM's time. This makes it keep some.
export MALLOC_TOP_PAD_ ?= 67108864
# .venv/ready names the folder that .venv was set up in; in another folder it is set up again.
ifneq ($(shell cat $(READY) 2> /dev/null),$(CURDIR))
$(READY): FORCE
endif
FORCE:
# What was typed as key=value is passed to Hydra unchanged, except for the variables of this file.
OVERRIDES = $(filter-out name=% run=% port=% tests=% PYTHON=%,$(MAKEOVERRIDES))
# Here a value may be a text: filter-out would remove words of it, and a bare line end ends a command.
define LINE_END


endef
# The value of a variable quoted as one word for the shell; nothing if it is empty.
quoted = $(if $(value $(1)),'$(subst ','\'',$(value $(1)))')
PASS_TEXTS = MAKE_OVERRIDES='$(subst $(LINE_END),\$(LINE_END),$(subst ','\'',$(MAKEOVERRIDES)))'
PASS_OVERRIDES = MAKE_OVERRIDES='$(subst ','\'',$(OVERRIDES))'

setup: $(READY)  ## Make .venv from requirements.lock; the other targets do so themselves
	:

$(READY): requirements.txt requirements.lock
	$(REQUIRE_PYTHON)
	$(QUOTED_PYTHON) -m experiments.environment $(EXACT)

lock:  ## Write requirements.lock, every package and version, from requirements.txt
	$(REQUIRE_PYTHON)
	$(QUOTED_PYTHON) -m experiments.lock

experiment:  ## Run an experiment: make experiment name=gru_vs_lstm [task=imdb seed=1,2 ...]
	$(REQUIRE_PYTHON)
	$(QUOTED_PYTHON) -m experiments.catalogue check $(or $(call quoted,name),"")
	$(MAKE) --no-print-directory $(READY)
	$(PASS_OVERRIDES) $(RUN) -m experiments --from-make experiment=$(call quoted,name)

resume: $(READY)  ## Resume an interrupted sweep: make resume [run=<id of its parent run> lost=<machine>]
	$(RUN) -m experiments.resume $(call quoted,run) $(if $(value lost),lost=$(call quoted,lost))

compare: $(READY)  ## Compare a sweep's runs again: make compare [run=<id of its parent run> baseline=lstm]
	$(PASS_OVERRIDES) $(RUN) -m experiments.compare --from-make $(call quoted,run)

score: $(READY)  ## Log probability of sentences: make score text="one|another" [run=<id or latest>]
	$(PASS_TEXTS) $(RUN) -m experiments.score --from-make

sample: $(READY)  ## Generate text: make sample prompt="..." [temperature=0.8 length=500 run=<id or latest>]
	$(PASS_TEXTS) $(RUN) -m experiments.sample --from-make

tag: $(READY)  ## Find names in a text: make tag text="Teddy Roosevelt was ..." [run=<id or latest> file=<path>]
	$(PASS_TEXTS) $(RUN) -m experiments.tag --from-make

list:  ## List the experiments: question, command, minutes
	$(REQUIRE_PYTHON)
	$(QUOTED_PYTHON) -m experiments.catalogue list

bench: $(READY)  ## Time every unit against Keras: make bench ['parts=[steps]' 'units=[lstm,gru]' ...]
	$(PASS_OVERRIDES) $(RUN) -m benchmarks --from-make

ui: $(READY)  ## Browse the results: make ui [port=5000]
	$(RUN) -m experiments.ui $(call quoted,port)

SERVER := .venv-server
server: $(SERVER)/ready  ## Start a tracking server for several machines: make server [port=5000 host=<name>]
	# exec, for the server to notice that make was killed.
	exec env $(PASS_TEXTS) $(SERVER)/bin/python -m experiments.server --from-make

$(SERVER)/ready: requirements-server.txt requirements.txt
	$(REQUIRE_PYTHON)
	$(QUOTED_PYTHON) -m venv $(SERVER)
	$(SERVER)/bin/python -m pip install --quiet --requirement requirements-server.txt
	touch $@

DOCS := .venv-docs
.PHONY: docs
docs: $(DOCS)/ready  ## Build the documentation: build/docs/site/index.html
	$(DOCS)/bin/python -m docs.prepare_site
	# From there, as the site names source files relative to the working directory.
	cd build/docs/package && NO_MKDOCS_2_WARNING=1 ../../../$(DOCS)/bin/python -m mkdocs build --strict -f ../../../mkdocs.yml

$(DOCS)/ready: requirements-docs.txt
	$(REQUIRE_PYTHON)
	$(QUOTED_PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --requirement requirements-docs.txt
	touch $@

test: $(READY)  ## Run the tests: make test [tests=tests/layers]
	$(RUN) -m tests --quiet --numprocesses 2 --dist worksteal $(tests)

lint: $(READY)  ## Check style, types and imports
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-logo

help:  ## List the targets
	# 141: the reader, such as head, has closed the pipe.
	grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1\t\2/' | expand -t 14 || [ $$? -eq 141 ]
