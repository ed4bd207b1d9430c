# make test sets up all that it needs; every other target works on its own, too.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

EXTRAS ?= dev
JOBS ?= 2

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -n $(JOBS)
VENV := .venv/.installed-$(EXTRAS)
VENV_PROTO := .venv-proto/.installed
VENV_WHEEL := .venv-wheel/.created

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: help
help:  ## list the targets
	@sed -n 's/^\([a-z -]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: test
test: lint types drift unit wheel-test  ## everything that has to pass

.PHONY: lint
lint: $(VENV)  ## style and common mistakes
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

.PHONY: types
types: $(VENV)  ## static types
	$(PYTHON) -m mypy

.PHONY: drift
drift: $(VENV) $(VENV_PROTO) buf  ## are the generated files up to date?
	.venv-proto/bin/python proto/generate.py --check
	$(PYTHON) -m snnir.ops.doc --check

.PHONY: buf
buf:  ## lint the schema and look for breaking changes, where npx is present
	@bash proto/buf.sh

.PHONY: unit
unit: $(VENV)  ## the test suite, on this tree
	$(PYTEST) -m "not slow"

.PHONY: test-slow slow
test-slow slow: $(VENV)  ## the slow tests
	$(PYTEST) -m slow

.PHONY: wheel
wheel: $(VENV)  ## dist/: the sdist, and the wheel built from it
	rm -rf dist
	$(PYTHON) -m build

# The suite runs on a copy, so that nothing but the wheel can be imported, and with the oldest
# protobuf that is supported.
.PHONY: wheel-test
wheel-test: wheel $(VENV_WHEEL)  ## the test suite, on the wheel and the newest CPython
	.venv-wheel/bin/python -m pip uninstall -qq --yes snnir
	.venv-wheel/bin/python -m pip install --quiet "$$(echo dist/*.whl)[test]" protobuf==5.29.6
	copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && \
	cp -R tests pyproject.toml "$$copy" && cd "$$copy" && \
	"$(CURDIR)/.venv-wheel/bin/python" -m pytest -n $(JOBS) -m "not slow"

.PHONY: bench
bench: .venv/.installed-bench  ## measure, next to the peers that are installed
	$(PYTHON) benchmarks/run.py

.PHONY: bench-conversion
bench-conversion: .venv/.installed-bench  ## measure conversion (peers: SNNIR_TORCH_PYTHON)
	$(PYTHON) benchmarks/conversion.py

.PHONY: bench-genn
bench-genn: .venv/.installed-bench  ## measure the GeNN backend (needs PyGeNN; peer: mlGeNN)
	$(PYTHON) benchmarks/genn.py

.PHONY: demo
demo: $(VENV)  ## the main job, on real images
	$(PYTHON) examples/demo.py

.PHONY: format
format: $(VENV)  ## apply the style
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

.PHONY: proto
proto: $(VENV_PROTO)  ## regenerate the protobuf code
	.venv-proto/bin/python proto/generate.py

.PHONY: docs
docs: $(VENV)  ## regenerate the operator reference
	$(PYTHON) -m snnir.ops.doc --write

.PHONY: vectors
vectors: $(VENV)  ## recompute the conformance vectors
	$(PYTHON) tests/conformance/make_vectors.py

.PHONY: bless
bless: $(VENV)  ## accept what the code writes now as the golden files
	SNNIR_BLESS=1 $(PYTEST) -m "not slow"

.PHONY: clean
clean:  ## remove environments, builds and caches
	rm -rf .venv .venv-proto .venv-wheel build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The oldest CPython is the one for which every optional dependency exists.
.venv/.created: pyproject.toml snnir/_version.py
	python=$$(bash tools/find_python.sh oldest) && "$$python" -m venv --clear .venv
	touch $@

# lava-dl asks for PyTorch and more; to run .net files it needs only what lava-nc brings.
.venv/.installed-%: .venv/.created
	$(PYTHON) -m pip install --quiet --editable ".[$*]"
	if [[ $* == dev ]] && $(PYTHON) -m pip show lava-nc &> /dev/null; then \
	  $(PYTHON) -m pip install --quiet --no-deps lava-dl==0.6.0; \
	fi
	touch $@

# The pinned generator needs an old protobuf, so it has an environment of its own.
$(VENV_PROTO): pyproject.toml
	python=$$(bash tools/find_python.sh oldest) && "$$python" -m venv --clear .venv-proto
	.venv-proto/bin/python -m pip install --quiet \
	  "$$(sed -n 's/^proto = \["\(.*\)"\]/\1/p' pyproject.toml)"
	touch $@

$(VENV_WHEEL): pyproject.toml
	python=$$(bash tools/find_python.sh newest) && "$$python" -m venv --clear .venv-wheel
	touch $@
