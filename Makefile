# Two commands do everything: `make run` and `make test`. `make help` lists the rest.

VENV ?= .venv
PYTHON ?= python3
RUN_ARGS ?= --dataset_name digits --name_file_bs baseline_bce --name_file_alm ALM_12_beg --delta 1 \
	--resnet_type lenet5 --seeds 1-3 --num_epochs 20 --threads 1 --model_name digits_demo
PYTEST_ARGS ?=
# Processes that run the tests; a file stays in one of them, so that its tests share what they train.
WORKERS ?= 2
FUZZ_ARGS ?= --inputs 100000 --seed 1 --processes 2
FAULTS_ARGS ?= --kills 2000 --seed 1 --processes 2
BENCH_ARGS ?=

# An environment is built when its stamp is there. The stamp's name holds a checksum of the requirement files,
# so that it is their content that counts, not the time of a clone.
run_key := $(shell cat requirements.txt constraints.txt | cksum | tr ' ' -)
dev_key := $(shell cat requirements.txt requirements-dev.txt constraints.txt | cksum | tr ' ' -)
run_stamp := $(VENV)/.rarecall-run-$(run_key)
dev_stamp := $(VENV)/.rarecall-dev-$(dev_key)
# Lies in the environment while something is being installed into it, and holds the number of that process: what
# was interrupted is started afresh, whichever of the two stamps is wanted.
unfinished := $(VENV)/.rarecall-unfinished
ifneq ($(wildcard $(unfinished)),)
.PHONY: $(run_stamp)
endif

python := $(VENV)/bin/python
sphinx := $(python) -m sphinx -q -W --keep-going -n -j 2 -c docs -d build/doctrees
# Errors only: pip warns at length about mirrors that hold no copy of a package.
pip_install := $(python) -m pip install -qq --disable-pip-version-check --no-input -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test test-all check lint types docs docs-links verify bench toy pictures faults fuzz mutants soak \
	environment clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*##/  make \1 /p' Makefile

run: $(run_stamp)  ## build the environment if need be, then train LeNet5 with BCE + ALM on embedded digits
	@$(python) main.py $(RUN_ARGS)

test: $(dev_stamp)  ## build the environment if need be, then run all tests but the slow ones
	@$(python) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" $(PYTEST_ARGS)

test-all: $(dev_stamp)  ## all tests
	@$(python) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: lint types  ## lint and types

lint: $(dev_stamp)  ## ruff
	@$(python) -m ruff check .

types: $(dev_stamp)  ## mypy
	@$(python) -m mypy

docs: $(dev_stamp)  ## the documentation, build/docs/index.html; runs its tutorials, and every warning is an error
	@$(sphinx) -b html . build/docs && echo build/docs/index.html

docs-links: $(dev_stamp)  ## ask for every address on the pages of the documentation; needs the network
	@EXTERNAL_LINKS=1 $(sphinx) -b linkcheck . build/links

verify: $(run_stamp)  ## every number of results/ again from the committed scores
	@for folder in results/*/; do $(python) -m studies.verify $$folder || exit 1; done

bench: $(run_stamp)  ## about three minutes: today's ratios of speed against the committed ones
	@$(python) -m benchmarks.regression $(BENCH_ARGS)

toy: $(run_stamp)  ## two Gaussians at 1:20 and 1:100: the linear model on natural and on balanced batches
	@$(python) -m studies.toy

pictures: $(run_stamp)  ## the pictures of the documentation again; those of pages need Chromium
	@$(python) -m docs.draw_pictures && $(python) -m studies.toy && $(python) -m studies.paper_pairs

faults: $(dev_stamp)  ## 2,000 kills and other faults, each run resumed and compared with an undisturbed one
	@$(python) tests/faults/faults.py $(FAULTS_ARGS)

fuzz: $(dev_stamp)  ## 100,000 mutations of valid files and commands; each must be accepted or refused with one line
	@$(python) tests/fuzz/fuzz.py $(FUZZ_ARGS)

mutants: $(dev_stamp)  ## take each guard away in turn and see its test fail
	@$(python) tests/mutants/mutants.py

soak: $(dev_stamp)  ## 1,000 epochs of three seeds: does memory, a number of files or the time of an epoch grow?
	@$(python) tests/faults/soak.py

environment: $(dev_stamp)  ## the environment of the tests, and nothing else

clean:  ## remove caches and builds; the environment, data and results stay
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# One shell, so that the number it leaves in $(unfinished) is that of a process that lives until the end.
$(run_stamp):
	@$(PYTHON) -c 'import sys; ok = sys.version_info >= (3, 11); ok or print("error: Python 3.11 or later is needed,", \
		sys.executable, "is", sys.version.split()[0] + "; name another one: make PYTHON=python3.12"); sys.exit(not ok)'
	@set -e; \
	if [ -e $(unfinished) ]; then \
		if kill -0 "$$(cat $(unfinished))" 2>/dev/null; then \
			echo "error: another make is installing into $(VENV): wait until it is done"; exit 1; \
		fi; \
		echo "the last installation into $(VENV) was interrupted: starting afresh"; \
		find $(VENV) -mindepth 1 -maxdepth 1 ! -name $(notdir $(unfinished)) -exec rm -rf {} +; \
	fi; \
	echo "installing the environment into $(VENV) (5.8 GB with the CUDA build of torch, about two minutes)"; \
	mkdir -p $(VENV); \
	echo $$$$ > $(unfinished); \
	rm -f $(VENV)/.rarecall-run-* $(VENV)/.rarecall-dev-*; \
	[ -x $(python) ] || $(PYTHON) -m venv $(VENV); \
	$(pip_install) -r requirements.txt; \
	touch $@; \
	rm $(unfinished)

$(dev_stamp): $(run_stamp)
	@set -e; \
	echo "installing what the tests need into $(VENV)"; \
	echo $$$$ > $(unfinished); \
	rm -f $(VENV)/.rarecall-dev-*; \
	$(pip_install) -r requirements-dev.txt; \
	touch $@; \
	rm $(unfinished)
