# Commands for a machine that has only Python (3.10 or newer) and make:
#
#     make demo     train the 1-D GAN, draw the figure, and make a film of the training
#     make check    run the tests of the core, in less than a minute
#     make test     run all tests, in a few minutes
#
# They work in .venv, which they make on first use. (On Windows from a shell such as Git Bash.)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# What every number rests on: kernels, streams, layers, losses, optimizers, gradients and the tests
# that find wrong ones, the game, saved definitions, the direction of imports, recorded results.
CORE := backend random layers losses optim gradients gradcheck planted_faults gan configs imports golden

.PHONY: demo check test mpi lint docs format slow mutants fuzz seeds mnist dcgan toy2d wgan cgan infogan atlas atlas-bench figures bench ladder scale gpu clean

# The film is of the newest run: the example numbers its folders.
demo: $(VENV)/.base
	$(BIN)/python examples/gaussian1d.py --record
	$(BIN)/minigan film "$$(ls -td runs/gaussian1d-stable-seed0* | head -n 1)"

check: $(VENV)/.test
	$(BIN)/python -m pytest -q -n auto --dist worksteal $(CORE:%=tests/test_%.py)

# On all cores; `pytest` alone takes one.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist worksteal

# Tests that two processes run together under MPICH's mpiexec, and one of them with three.
mpi: $(VENV)/.test
	$(BIN)/mpiexec -n 2 $(BIN)/python -m pytest -q tests/mpi
	$(BIN)/mpiexec -n 3 $(BIN)/python -m pytest -q tests/mpi -k packed

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The book as HTML, into docs/_build; every warning is an error. It needs no network to be read.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html -c docs . docs/_build
	@echo "the book is in docs/_build/index.html"

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The long measurements among the tests.
slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

# A hundred single faults, drawn by a seed and planted one at a time: which of them do the tests of
# their package not notice? Ten to twenty minutes on two cores; continues where it was interrupted.
#     make mutants ARGS="--seed 1 --packages nn gan"
mutants: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m mutants $(ARGS)

# Ten minutes of fuzzing for each reader of files, and for whole run folders (Linux).
fuzz: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	for reader in checkpoint signed idx recipe history folder; do \
		PYTHONPATH=.:tests $(BIN)/python tests/fuzz_files.py $$reader -max_total_time=600 || exit 1; \
	done

# Both recipes of the 1-D experiment on seeds 0 to 19, into bench/results/.
seeds: $(VENV)/.base
	$(BIN)/python -m bench.gaussian1d_seeds

# Both recipes of the MNIST experiment on three seeds, into bench/results/.
# The better part of an hour on two cores. `make figures ARGS="--mnist runs/mnist_recipes"` draws
# samples of these runs.
mnist: $(VENV)/.base
	$(BIN)/python -m bench.mnist_recipes --jobs 2

# Both recipes of the DCGAN experiment, into bench/results/. About an hour and a half on two cores.
dcgan: $(VENV)/.base
	$(BIN)/python -m bench.dcgan --jobs 2

# Every recipe of the 2-D experiment on 20 seeds, into bench/results/. About an hour and a half on
# two cores.
toy2d: $(VENV)/.base
	$(BIN)/python -m bench.toy2d --jobs 2

# Wasserstein GANs on MNIST at equal time, into bench/results/. Nearly an hour on two cores.
wgan: $(VENV)/.base
	$(BIN)/python -m bench.wgan

# Conditional GANs on MNIST, into bench/results/. About an hour on two cores.
cgan: $(VENV)/.base
	$(BIN)/python -m bench.cgan --jobs 2

# InfoGANs on MNIST, ten seeds without labels, into bench/results/. About an hour on two cores.
infogan: $(VENV)/.base
	$(BIN)/python -m bench.infogan --jobs 2

# The map of learning rates of both 1-D recipes, into docs/figures/ and bench/results/. Half an hour
# on two cores; continues where it was interrupted.
atlas: $(VENV)/.base
	$(BIN)/python examples/atlas.py --workers 2 --out runs/atlas
	cp runs/atlas/map.csv bench/results/atlas.csv
	cp runs/atlas/map.svg docs/figures/atlas.svg

# What a step of a member of a population costs, into bench/results/. A few minutes of an idle
# machine.
atlas-bench: $(VENV)/.base
	$(BIN)/python -m bench.atlas

# Every figure of the book, into docs/figures/, in about two minutes.
figures: $(VENV)/.base
	$(BIN)/python docs/figures.py $(ARGS)

# minigan next to PyTorch and JAX, into bench/results/. Half an hour of an idle machine, and
# gigabytes of wheels unless they are there; a PyTorch for CPUs alone does, if installed before.
bench: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m bench

# One training step written seven ways, into bench/results/ and docs/performance.md.
ladder: $(VENV)/.base
	$(BIN)/python -m bench.ladder

# A step's time against the number of processes, and a model of it, into bench/results/, docs/scale.md
# and its figure. Two minutes of an idle machine with two cores or more. MPI is measured, too,
# after `$(BIN)/pip install -e ".[mpi]"`.
scale: $(VENV)/.base
	$(BIN)/python -m bench.scale
	$(BIN)/python docs/scale_picture.py

# On a machine with a GPU, after `$(BIN)/pip install -e ".[cuda13]"`: the tests that need one, then
# minigan beside PyTorch and JAX (those that are installed), into bench/results/ and docs/gpu.md.
gpu: $(VENV)/.test
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python -m bench.gpu

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/pyvenv.cfg:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "minigan needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)

# Editable installs: the stamps only go stale when the list of dependencies changes.
$(VENV)/.base: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/.lint: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@
