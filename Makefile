.DEFAULT_GOAL := help
.PHONY: setup experiment resume compare score sample tag list bench ui test lint help
.SILENT:

PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
# glibc gives memory back to the kernel after every training step, and takes it anew, page by page: up
# to a third of an LSTM's time. With this it keeps some.
export MALLOC_TOP_PAD_ ?= 67108864
# .venv/ready names the folder that .venv was set up in; where that is another, it is set up again.
ifneq ($(shell cat $(VENV)/ready 2> /dev/null),$(CURDIR))
$(VENV)/ready: FORCE
endif
FORCE:
# What was typed as key=value goes on to Hydra as it is, but for the variables of this file.
OVERRIDES = $(filter-out name=% run=% port=% tests=% PYTHON=%,$(MAKEOVERRIDES))
# Here a value may be a text: filter-out would take words of it, and a bare line end ends a command.
define LINE_END


endef
# The value of a variable as one word for the shell, whatever is in it; nothing if it is empty.
quoted = $(if $(value $(1)),'$(subst ','\'',$(value $(1)))')
ASK = MAKE_OVERRIDES='$(subst $(LINE_END),\$(LINE_END),$(subst ','\'',$(MAKEOVERRIDES)))'
HAND_OVER = MAKE_OVERRIDES='$(subst ','\'',$(OVERRIDES))'

setup: $(READY)  ## Make .venv from requirements.txt; the other targets do it by themselves
	:

$(READY): requirements.txt
	command -v $(PYTHON) > /dev/null || { \
		echo "There is no $(PYTHON); install Python 3.11, or name it: make PYTHON=<path> ..." >&2; exit 2; }
	$(PYTHON) -m experiments.environment

experiment:  ## Run an experiment: make experiment name=gru_vs_lstm [task=imdb seed=1,2 ...]
	$(PYTHON) -m experiments.catalogue check $(or $(call quoted,name),"")
	$(MAKE) --no-print-directory $(READY)
	$(HAND_OVER) $(RUN) -m experiments --from-make experiment=$(call quoted,name)

resume: $(READY)  ## Go on with a sweep that was interrupted: make resume [run=<id of its parent run>]
	$(RUN) -m experiments.resume $(call quoted,run)

compare: $(READY)  ## Compare a sweep's runs again: make compare [run=<id of its parent run> baseline=lstm]
	$(HAND_OVER) $(RUN) -m experiments.compare --from-make $(call quoted,run)

score: $(READY)  ## log P of sentences: make score text="one|another" [run=<id or latest>]
	$(ASK) $(RUN) -m experiments.score --from-make

sample: $(READY)  ## New text: make sample prompt="..." [temperature=0.8 length=500 run=<id or latest>]
	$(ASK) $(RUN) -m experiments.sample --from-make

tag: $(READY)  ## Names in a text: make tag text="Teddy Roosevelt was ..." [run=<id or latest> file=<path>]
	$(ASK) $(RUN) -m experiments.tag --from-make

list:  ## Every experiment: its question, its command, its minutes
	$(PYTHON) -m experiments.catalogue list

bench: $(READY)  ## Time every unit against Keras: make bench ['parts=[steps]' 'units=[lstm,gru]' ...]
	$(HAND_OVER) $(RUN) -m benchmarks --from-make

ui: $(READY)  ## Browse the results: make ui [port=5000]
	$(RUN) -m experiments.ui $(call quoted,port)

DOCS := .venv-docs
.PHONY: docs
docs: $(DOCS)/ready  ## Build the documentation: build/docs/site/index.html
	$(DOCS)/bin/python -m docs.prepare_site
	# From there, as the site names source files relative to the working directory.
	cd build/docs/package && NO_MKDOCS_2_WARNING=1 ../../../$(DOCS)/bin/python -m mkdocs build --strict -f ../../../mkdocs.yml

$(DOCS)/ready: requirements-docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --requirement requirements-docs.txt
	touch $@

test: $(READY)  ## Run the tests: make test [tests=tests/layers]
	$(RUN) -m tests --quiet --numprocesses 2 --dist worksteal $(tests)

lint: $(READY)  ## Check the style
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

help:  ## What there is to make
	# 141: whoever reads it, such as head, has seen enough.
	grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1\t\2/' | expand -t 14 || [ $$? -eq 141 ]
