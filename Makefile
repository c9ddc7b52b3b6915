# Every target bootstraps .venv by itself (with uv if it is there, else venv and pip) and does nothing twice.
SHELL := /bin/bash
VENV := .venv
READY := $(VENV)/.ready
# A Python that the package supports; override with `make PYTHON=/path/to/python test`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
# On all cores; tests/conftest.py says how many workers, and what one worker runs.
PYTEST := python -m pytest -n auto --dist loadfile
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help benchmark suite full test test-slow lint docs perf check-results readme schema doctor lock clean

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

benchmark: $(READY)  ## run what needs no download and takes minutes: all but run.full_only in params.yaml, if out of date
	wsolbench launch --benchmark

suite: $(READY)  ## the same methods on the tracks that show the known failures one by one: run.suite in params.yaml
	wsolbench launch --suite

full: $(READY)  ## run everything that run names in params.yaml, as far as it is out of date
	wsolbench launch

test: $(READY)  ## run the tests that take seconds
	$(PYTEST) -m "not slow"

test-slow: $(READY)  ## run the tests that train, or run the pipeline
	$(PYTEST) -m slow

lint: $(READY)  ## check style, types and the direction of imports
	ruff check .
	ruff format --check .
	mypy
	lint-imports

docs: $(READY)  ## build the documentation into build/docs, and fail on a broken link
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet

perf: $(READY)  ## measure the harness itself
	python perf/train.py
	python perf/evaluate.py
	python perf/loader.py

check-results: $(READY)  ## fail if the committed results do not belong to the committed code and params
	python .ci/check_results.py

readme: $(READY)  ## put the present results into README.md
	wsolbench readme

schema: $(READY)  ## write anew what is made of the code: params.schema.json, for editors, and what `list` says of components
	python -m wsolbench.tools.params_schema > params.schema.json
	mkdir -p build && python -m wsolbench.tools.shipped > build/catalogue.json && mv build/catalogue.json wsolbench/tools/catalogue.json

doctor: $(READY)  ## check the environment, data, weights and params.yaml
	wsolbench doctor

lock: $(READY)  ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra dev --extra docs --extra pretrained \
		--generate-hashes --no-header --no-annotate -o requirements.lock

clean:  ## remove the environment and caches, but no result
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found; set PYTHON=..." >&2; exit 1; }
	if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python "$$(command -v "$(PYTHON)")" $(VENV) && \
		VIRTUAL_ENV="$(CURDIR)/$(VENV)" uv pip sync --compile-bytecode --require-hashes requirements.lock && \
		VIRTUAL_ENV="$(CURDIR)/$(VENV)" uv pip install --quiet --no-deps --no-build-isolation -e .; \
	else \
		"$(PYTHON)" -m venv $(VENV) && \
		$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock && \
		$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .; \
	fi
	touch $@
