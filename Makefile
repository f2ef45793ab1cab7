.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test test-slow check peers peers-torch peers-brian peers-nest peers-jax peers-lava peers-sanafe peers-events clean

PYTHON ?= python3
ARGS ?=
PROCESSES ?= 2
BIN := .venv/bin
PIP := -m pip install --quiet --quiet --disable-pip-version-check
PEERS := .venv-peers

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: .venv/stamp  ## make .venv with everything (once; again when pyproject.toml or constraints.txt change)

# The constraints matter: unconstrained, spikingjelly and snntorch replace torch by its newest build with several
# gigabytes of CUDA. With them, pip may still bring a torchvision that does not import beside a CPU build of torch;
# it is there for spikingjelly's metadata only, and nothing here imports it.
.venv/stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("snnsim needs Python 3.11 or newer, %s is %s: make PYTHON=python3.12 ..." % (sys.executable, sys.version.split()[0]) if sys.version_info < (3, 11) else 0)'
	@echo "installing into .venv (a minute or two)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP) -c constraints.txt -e '.[all,dev]'
	@$(BIN)/python $(PIP) --no-deps norse==1.1.0 dcls==0.1.1 sinabs==3.1.3 pbr==7.1.3 # none needs what else its metadata asks for
	@touch $@

demo: venv  ## train, simulate, export (NIR, Loihi) and verify on the embedded events; writes report.html
	$(BIN)/snnsim demo $(ARGS)

test: venv  ## run the tests (make test ARGS="-k name" PROCESSES=4)
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal $(ARGS)

test-slow: venv  ## run the slow tests
	$(BIN)/python -m pytest -m slow $(ARGS)

check: venv  ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

peers: peers-torch  ## make the venvs of the tools that benchmarks run beside snnsim (.venv-peers)

peers-torch: $(PEERS)/torch/stamp  ## torch, snnTorch, SpikingJelly
peers-brian: $(PEERS)/brian/stamp  ## Brian2 (compiles: needs gcc)
peers-nest: $(PEERS)/nest/stamp  ## NEST
peers-jax: $(PEERS)/jax/stamp  ## JAX, Spyx, brainevent
peers-lava: $(PEERS)/lava/stamp  ## Lava and lava-dl, in which tests run what is exported for Loihi
peers-sanafe: $(PEERS)/sanafe/stamp  ## SANA-FE (GPL-3.0: for tests alone, in a process of its own)
peers-events: $(PEERS)/events/stamp  ## expelliarmus (GPL-2.0), evt3, event-stream, faery: readers of event files

$(PEERS)/%/stamp: Makefile
	@echo "installing into $(PEERS)/$*"
	@$(PYTHON) -m venv $(PEERS)/$*
	@$(PEERS)/$*/bin/python $(PIP) $(INSTALL)
	@if [ -n '$(ALONE)' ]; then $(PEERS)/$*/bin/python $(PIP) --no-deps $(ALONE); fi
	@touch $@

# ALONE: what would bring torchvision, torchaudio and tensorboard, of which its simulation needs none.
$(PEERS)/torch/stamp: INSTALL = torch==2.13.0 snntorch==1.0.0 -c constraints.txt loguru scipy h5py numba
$(PEERS)/torch/stamp: ALONE = spikingjelly==2.0.0
$(PEERS)/brian/stamp: INSTALL = 'numpy<2.4' cython setuptools brian2==2.9.0
$(PEERS)/nest/stamp: INSTALL = numpy nest-simulator==3.10.0
$(PEERS)/jax/stamp: INSTALL = jax==0.10.2 jaxlib==0.10.2 spyx==1.0.0 brainevent==0.2.1 brainstate numba
# Their metadata asks for Python 3.10 and for torch and more, of which the fixed-point simulation and the reader need none.
$(PEERS)/lava/stamp: INSTALL = numpy==2.3.5 h5py==3.16.0 scipy==1.17.1 networkx==3.6.1 asteval==1.0.10
$(PEERS)/lava/stamp: ALONE = --ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0
$(PEERS)/sanafe/stamp: INSTALL = numpy==2.4.6 sanafe==2.2.9
$(PEERS)/events/stamp: INSTALL = numpy==2.4.6 expelliarmus==1.1.12 evt3==0.4.1 event-stream==1.6.3 faery==0.7.1

clean:  ## remove everything that make made, .venv and .venv-peers too
	rm -rf .venv $(PEERS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
