# The words a developer types; CI calls the same ones. `make help` lists them.
#
# Everything lives in .venv and build/. A word makes what it needs: from a clean clone `make demo` and `make test` do it all.
#   PYTHON=python3.13    which interpreter makes .venv (default: python3, else the newest python3.x that is 3.11 or later)
#   BOOTSTRAP=host:port  demo and bench-cluster against a running cluster
#   RECORDS=20000        demo with fewer records
#   JSON=FILE            demo and benchmarks: write the figures there, with machine, date and versions
#   ARGS="-k order -x"   more arguments for pytest

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --retries 8 --timeout 60
SOURCES := setup.py $(shell find ext -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
FLAVOUR ?= normal
DEMO := $(if $(BOOTSTRAP),--bootstrap-servers $(BOOTSTRAP)) $(if $(RECORDS),--records $(RECORDS)) $(if $(JSON),--json $(JSON))
SWITCH_normal :=
SWITCH_debug := TWOLANE_DEBUG=1
SWITCH_trace := TWOLANE_TRACE=1
SWITCH_asan := TWOLANE_SANITIZE=1

.NOTPARALLEL:
.PHONY: demo test test-embedded test-cluster lint types build debug trace asan fuzz bench bench-cluster \
        cluster-up cluster-down docs sdist wheel clean help

demo: build $(VENV)/.group-demo  ## send 336 776 flights through both lanes, read them back, print a table
	$(BIN)/python -m bench.demo $(DEMO)

test: build $(VENV)/.group-test $(VENV)/.group-demo  ## the whole suite: embedded cluster and real Kafka
	$(BIN)/python -m pytest $(ARGS)

test-embedded: build $(VENV)/.group-test $(VENV)/.group-demo  ## the tests that need no real Kafka
	$(BIN)/python -m pytest -m "not cluster" $(ARGS)

test-cluster: build $(VENV)/.group-test $(VENV)/.group-demo  ## the tests on three real brokers (or TWOLANE_TEST_BOOTSTRAP)
	$(BIN)/python -m pytest -m cluster $(ARGS)

lint: $(VENV)/.group-lint  ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: build $(VENV)/.group-lint  ## mypy --strict over src/
	$(BIN)/mypy

build: build/.built-$(FLAVOUR) $(VENV)/.editable  ## compile ext/ in place and install the package editable

debug:  ## -O0 with C assertions and accounting checks, then the embedded tests
	$(MAKE) test-embedded FLAVOUR=debug

trace: $(VENV)/.group-trace  ## line tracing, then the embedded tests with coverage of ext/ and src/
	$(MAKE) build $(VENV)/.group-test $(VENV)/.group-demo FLAVOUR=trace
	# A Ctrl-C that lands in the tracer would end the tracing.
	$(BIN)/coverage run -m pytest -m "not cluster" -k "not ctrl_c" $(ARGS)
	$(BIN)/coverage report

# Leaks are tests/support/leaks.py's business: to the sanitizer, whatever the interpreter keeps at its end is one.
asan:  ## AddressSanitizer and UndefinedBehaviorSanitizer, then the encoders' tests (ARGS=tests/client: more)
	$(MAKE) build $(VENV)/.group-test $(VENV)/.group-demo FLAVOUR=asan
	LD_PRELOAD="$$($${CC:-gcc} -print-file-name=libasan.so)" PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
	    $(BIN)/python -m pytest -m "not cluster" tests/encoding $(ARGS)

# Failures are kept in .hypothesis and come first in the next run; Ctrl-C ends it at any time.
fuzz: build $(VENV)/.group-test  ## a million values through each serializer: hours (ARGS="-k json" for one of them)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/encoding -m fuzz --hypothesis-show-statistics $(ARGS)

bench: build $(VENV)/.group-bench $(VENV)/.group-demo  ## the lanes beside a bare C loop, on the embedded cluster
	$(BIN)/python -m bench.floor $(if $(JSON),--json $(JSON)) $(ARGS)

bench-cluster: build $(VENV)/.group-bench $(VENV)/.group-demo  ## the same on real brokers: BOOTSTRAP=localhost:9092
	@test -n "$(BOOTSTRAP)" || { echo "Which cluster? make bench-cluster BOOTSTRAP=localhost:9092" >&2; exit 1; }
	$(BIN)/python -m bench.floor --bootstrap-servers $(BOOTSTRAP) $(if $(JSON),--json $(JSON)) $(ARGS)

cluster-up:  ## three KRaft brokers on localhost:9092, 9093, 9094
	docker compose up --wait

cluster-down:  ## stop them and forget their logs
	docker compose down --volumes

docs: build $(VENV)/.group-test  ## check the examples, links and layers that README and docs/ speak of
	$(BIN)/python -m pytest tests/packaging $(ARGS)

sdist: $(VENV)/.group-release  ## dist/*.tar.gz: the tracked sources
	$(BIN)/python -m build --sdist

wheel: $(VENV)/.group-release  ## dist/*.whl, built from the sdist
	$(BIN)/python -m build

clean:  ## forget .venv, build/, dist/ and everything generated
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find ext src -name '*.c' -delete -o -name '*.so' -delete -o -name '*.html' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

# ---- how it is done -------------------------------------------------------------------------------------------------

# .venv with a pip that knows dependency groups (25.1 and later).
$(VENV)/.python:
	@found=; for python in $(PYTHONS); do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "twolane needs Python 3.11 or later, found none as $(PYTHONS). Say which: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
	    echo "$$found has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" -V)"; \
	rm -rf $(VENV); "$$found" -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"
	@touch $@

# One stamp for each dependency group of pyproject.toml.
$(VENV)/.group-%: $(VENV)/.python pyproject.toml
	@echo "Installing the packages of group $*"
	$(PIP) install --group $*
	@touch $@

# The editable install brings the run-time dependencies, the metadata and the pytest plugin; it finds ext/ compiled already.
$(VENV)/.editable: $(VENV)/.group-build pyproject.toml | build/.built-$(FLAVOUR)
	@echo "Installing twolane editable, and what it needs at run time"
	TWOLANE_COMPILED=1 $(PIP) install --no-build-isolation --editable .
	@touch $@

build/.compiler: $(VENV)/.python
	@for kind in CC CXX; do \
	    found=$$($(BIN)/python -c 'import os, sys, sysconfig; k = sys.argv[1]; print((os.environ.get(k) or sysconfig.get_config_var(k) or k.lower()).split()[0])' $$kind); \
	    if ! command -v "$$found" >/dev/null; then \
	        echo "No compiler: $$found ($$kind) not found. On Debian and Ubuntu: apt-get install g++; or set $$kind." >&2; exit 1; \
	    fi; \
	done; \
	header=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h; \
	if [ ! -f "$$header" ]; then \
	    echo "No $$header. On Debian and Ubuntu: apt-get install python3-dev" >&2; exit 1; \
	fi
	@mkdir -p build && touch $@

# One flavour is built at a time; another one is a rebuild of everything.
build/.built-$(FLAVOUR): build/.compiler $(VENV)/.group-build $(SOURCES)
	@echo "Compiling ext/ ($(FLAVOUR))"
	@other=$$(find build -maxdepth 1 -name '.built-*' ! -name '.built-$(FLAVOUR)'); rm -f build/.built-*; \
	if [ -n "$$other" ] || [ "$(FLAVOUR)" != normal ]; then again=1; else again=0; fi; \
	$(SWITCH_$(FLAVOUR)) CYTHON_FORCE_REGEN=$$again $(BIN)/python setup.py --quiet build_ext --inplace --parallel 2 $$([ $$again = 0 ] || echo --force)
	@touch $@
