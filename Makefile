# make demo: a sounding video from a sentence. make test: linters, type checker and the whole test suite.
# Both set up what they need in $(VENV), once; the second call starts at once.
#
# PYTHON=python3.12      the interpreter to build the environment with (3.11 or later)
# VENV=.venv             where the environment lies
# TORCH_INDEX=URL        an index to take PyTorch from, such as that of its CPU builds: without it, Linux gets the CUDA build
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin

.PHONY: demo test lint clean
demo: $(VENV)/.installed
	$(BIN)/sonovid generate "a wooden stick hits a metal can twice" --seed 1 -o demo.mp4 --preview demo.png --overwrite

# One thread in each of two workers: on two cores that is faster than two threads in each.
test: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A PyTorch that is there already is used; otherwise the pinned one is installed before anything can ask for another.
$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "sonovid needs Python 3.11 or later, and $(PYTHON) is not: try make PYTHON=python3.12" >&2; exit 1; }
	@set -e; if [ -x $(BIN)/python ]; then :; \
	elif $(PYTHON) -c 'import torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6)' 2>/dev/null; then \
	  echo "using the PyTorch that $(PYTHON) has"; $(PYTHON) -m venv --system-site-packages $(VENV); \
	else $(PYTHON) -m venv $(VENV); fi
	@set -e; $(BIN)/python -c 'import torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6)' 2>/dev/null || \
	  { echo "installing PyTorch into $(VENV)"; $(BIN)/python -m pip install --disable-pip-version-check -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c constraints.txt torch; }
	@$(BIN)/python -W ignore -c 'import torch; print("torch==" + torch.__version__)' > $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	@echo "installing sonovid into $(VENV)"
	$(BIN)/python -m pip install --disable-pip-version-check -q -c $(VENV)/.torch -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.torch
	@echo "installing sonovid and what its tests need into $(VENV)"
	$(BIN)/python -m pip install --disable-pip-version-check -q -c $(VENV)/.torch -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) demo.mp4 demo.png
