# make demo         generate demo.mp4, a video with sound, from a sentence
# make test         run the linters, the type checker and the whole test suite
# make lint         run the linters and the type checker
# make docs         build the documentation site into site/; broken links are errors
# make dist-check   build the sdist and the wheel, and run the wheel from an empty environment
# make lowest-check run a part of the tests on the lowest versions that pyproject.toml allows
#
# Each sets up what it needs in $(VENV), once.
#
# PYTHON=python3.12      the interpreter to build the environment with (3.11 or later)
# VENV=.venv             where the environment lies
# TORCH_INDEX=URL        an index to take PyTorch from, such as that of its CPU builds: without it, Linux gets the CUDA build
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin

.PHONY: demo test lint docs dist-check lowest-check clean
demo: $(VENV)/.installed
	$(BIN)/sonovid generate "a wooden stick hits a metal can twice" --seed 0 -o demo.mp4 --preview demo.png --overwrite

# One thread in each of two workers: on two cores that is faster than two threads in each.
test: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.installed-dev
	$(BIN)/python -m mkdocs build --strict

dist-check: $(VENV)/.installed-dev
	$(BIN)/python scripts/check_distribution.py

lowest-check: export OMP_NUM_THREADS ?= 1
lowest-check: $(VENV)/.installed-dev
	$(BIN)/python scripts/lowest_versions.py

# An installed PyTorch is used. Otherwise the pinned one is installed first, before a dependency can ask for another.
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
	@echo "installing sonovid and its development dependencies into $(VENV)"
	$(BIN)/python -m pip install --disable-pip-version-check -q -c $(VENV)/.torch -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) site dist demo.mp4 demo.png
