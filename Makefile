# Two commands from a fresh clone: `make run` shows what restore does, `make test` runs what CI runs.
# Needs Python 3.11 or newer and a package registry, once; a C compiler makes it faster. `make PYTHON=python3.12 test` picks another Python.

PYTHON ?= python3
VENV ?= .venv
OUT ?= out
# Of PyTorch builds without CUDA, where there is no NVIDIA driver; empty: that of the PyTorch project.
TORCH_INDEX ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test install lint types unit levels wheel clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo "make run      install into $(VENV), restore a generated old film, show where the result is"
	@echo "make test     install into $(VENV), then lint, types and tests: what CI runs"
	@echo "make install  only install into $(VENV)"
	@echo "make levels   networks, training and whole pipelines at each class of CPU (LEVELS=avx2: at one)"
	@echo "make wheel    build a wheel into dist/"
	@echo "make clean    remove $(VENV), $(OUT)/, dist/ and caches"

install: $(READY)

# Done once, and again when what is to be installed has changed.
$(READY): pyproject.toml constraints.txt hatch_build.py setup_torch.py restore/nets/winograd.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "restore needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python setup_torch.py constraints.txt $(TORCH_INDEX)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,openvino]'
	@test "$$(uname -m)" != x86_64 || test -e restore/nets/_winograd.so || echo "note: no C compiler was found, so that networks take \
	about twice as long on CPUs without AMX; install gcc or clang and run: make -B install"
	@$(BIN)/python -c 'import cv2' || { echo "OpenCV needs two system libraries: apt-get install libgl1 libglib2.0-0" >&2; exit 1; }
	@touch $@

run: $(READY)
	@mkdir -p $(OUT)
	$(BIN)/restore sample $(OUT)/sample.rm --overwrite
	$(BIN)/restore run pipelines/bw_film_x2.toml $(OUT)/sample.rm $(OUT)/sample_x2.mkv --overwrite
	$(BIN)/python -m restore.sample $(OUT)/sample.rm $(OUT)/sample_x2.mkv $(OUT)/before_after.png
	@echo
	@echo "The old film:  $(OUT)/sample.rm"
	@echo "Restored:      $(OUT)/sample_x2.mkv"
	@echo "Compare them:  $(OUT)/before_after.png (left: enlarged by Lanczos, right: restored)"

test: lint types unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy --strict restore

# One file after the other on every core: files share what they set up. Threads within a test would only get in each other's way.
unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

# Networks, training and whole pipelines as on CPUs that can do less than this one.
LEVELS ?= baseline avx2 avx512 vnni bf16 amx
levels: $(READY)
	@for level in $(LEVELS); do echo "RESTORE_CPU=$$level"; RESTORE_CPU=$$level OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q \
	  tests/nets tests/train tests/stages/test_upscale.py tests/stages/test_deblock.py tests/test_whole_pipelines.py || exit 1; done

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist .

clean:
	rm -rf $(VENV) $(OUT) dist build .mypy_cache .ruff_cache .pytest_cache
