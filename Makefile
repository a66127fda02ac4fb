# The words a developer types; CI calls the same ones. `make help` lists them.
#
# Everything lives in .venv and build/. A word makes what it needs: from a clean clone `make demo` and `make test` do it all.
#   PYTHON=python3.13    which interpreter makes .venv (default: python3, else the newest python3.x that is 3.11 or later)
#   BOOTSTRAP=host:port  demo and bench-cluster against a running cluster
#   RECORDS=20000        demo with fewer records
#   JSON=FILE            demo: write the figures there, with machine, date and versions
#   RESULTS=FOLDER       benchmarks: figures, tables and pictures go there (default: build/bench/results)
#   ARGS="-k order -x"   more arguments for pytest
#   ROUNDS=20 SEED=1 FAULT=sigstop MINUTES=30 SHORT=1   faults: how many rounds, of which kind, how long (docs/faults.md)
#   WORKERS=4            processes that run the tests side by side (0: one, where output and a debugger can be seen)

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
VENV := .venv
BIN := $(VENV)/bin
COMPILE :=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --retries 8 --timeout 60
SOURCES := setup.py $(shell find ext -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
FLAVOUR ?= normal
RESULTS ?= build/bench/results
WORKERS ?= 4
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
TESTING = $(VENV)/.group-test $(VENV)/.group-demo $(VENV)/.group-bench
DEMO := $(if $(BOOTSTRAP),--bootstrap-servers $(BOOTSTRAP)) $(if $(RECORDS),--records $(RECORDS)) $(if $(JSON),--json $(JSON))
SWITCH_normal :=
SWITCH_debug := TWOLANE_DEBUG=1
SWITCH_coverage := TWOLANE_COVERAGE=1
SWITCH_asan := TWOLANE_SANITIZE=1

.NOTPARALLEL:
.PHONY: demo test test-embedded test-cluster test-long test-engines lint types build debug coverage asan fuzz fuzz-targets leaks faults matrix \
        bench bench-encoding bench-cluster bench-engines bench-startup figures counts cluster-up cluster-down docs sdist wheel check-wheel sbom clean help

demo: build $(VENV)/.group-demo  ## send 336 776 flights through both lanes, read them back, print a table
	$(BIN)/python -m bench.demo $(DEMO)

test: build $(TESTING)  ## the suite: embedded cluster and real Kafka
	@echo "Left out: what only does more of the same (make test-long); Spark, Ray and Dask, 450 MB of packages (make test-engines)"
	$(PYTEST) -m "not long and not engines" $(ARGS)

test-embedded: build $(TESTING)  ## the tests that need no real Kafka
	$(PYTEST) -m "not cluster and not long and not engines" $(ARGS)

test-cluster: build $(TESTING)  ## the tests on three real brokers (or TWOLANE_TEST_BOOTSTRAP)
	$(PYTEST) -m "cluster and not engines" $(ARGS)

test-long: build $(TESTING)  ## more of what `make test` holds: ten million rows, fifty kills; every night
	$(PYTEST) -m long $(ARGS)

test-engines: build $(TESTING) $(VENV)/.group-engines  ## the sinks of Spark and others: 450 MB of packages, and Java 17
	$(BIN)/python -m pytest -m engines tests/spark tests/ray tests/dask $(ARGS)

lint: $(VENV)/.group-lint  ## ruff, cython-lint, codespell; zizmor over the workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PATH="$(BIN):$$PATH" $(BIN)/cython-lint ext
	$(BIN)/codespell
	$(BIN)/zizmor --offline --quiet --persona=pedantic .github

types: build $(VENV)/.group-lint $(VENV)/.group-test  ## mypy --strict over src/, and the stubs beside the compiled modules
	$(BIN)/mypy
	MYPYPATH=src $(BIN)/python -m mypy.stubtest twolane --concise --ignore-missing-stub --allowlist tests/packaging/stubtest.txt

build: build/.built-$(FLAVOUR) $(VENV)/.editable  ## compile ext/ in place and install the package editable

debug:  ## -O0 with C assertions and accounting checks, then the embedded tests
	$(MAKE) test-embedded FLAVOUR=debug

coverage: $(VENV)/.group-coverage  ## which lines of src/ and ext/ the tests reach; gcc counts those of ext/
	$(MAKE) build $(VENV)/.group-test $(VENV)/.group-demo FLAVOUR=coverage
	find build -name '*.gcda' -delete
	@# Counting slows the tests: what they promise about seconds is for `make test` to judge, and a failure here, too.
	-$(BIN)/coverage run -m pytest --ignore=tests/bench -m "not timing and not long and not engines" $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/gcovr build; ext=$$?; $(BIN)/coverage report && exit $$ext

# Leaks are tests/leaks' business: to the sanitizer, whatever the interpreter keeps at its end is one.
asan:  ## AddressSanitizer and UndefinedBehaviorSanitizer, then the tests of what is compiled (ARGS="tests/safe tests/throughput": more)
	$(MAKE) build $(VENV)/.group-test $(VENV)/.group-demo FLAVOUR=asan
	LD_PRELOAD="$$($${CC:-gcc} -print-file-name=libasan.so)" PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
	    $(BIN)/python -m pytest -m "not cluster and not timing and not slow and not long and not engines and not fuzz" \
	    tests/encoding tests/serializers tests/fuzz tests/produce tests/client tests/reports $(ARGS)

# Failures are kept in .hypothesis and come first in the next run; Ctrl-C ends it at any time.
fuzz: build $(VENV)/.group-test  ## a million values through each serializer: hours (ARGS="-k json" for one of them)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/encoding -m fuzz --hypothesis-show-statistics $(ARGS)

fuzz-targets: build $(TESTING)  ## a minute of hostile input for each parser and encoder (ARGS="arrow_data --seconds 600 --seed 7")
	$(BIN)/python -m tests.fuzz $(ARGS)

# Some hours; `ARGS="errors --times 10000"` or a part of a path's name (`python -m tests.leaks --list`) is less.
leaks: build $(TESTING)  ## every error 10^5 times, 1 000 producers of each kind, 10^8 records: threads, descriptors, memory
	TWOLANE_TEST_PRODUCERS=1000 $(BIN)/python -m pytest tests/safe/test_topic_settings.py -k many
	$(BIN)/python -m tests.leaks --json $(RESULTS)/leaks.json $(ARGS)

faults: build $(VENV)/.group-test  ## break real brokers and clients, round after round, and judge what clients were told (docs/faults.md)
	$(BIN)/python -m faults $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(FAULT:%=--fault %) \
	    $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SHORT),--short) $(ARGS)

bench: build $(VENV)/.group-bench $(VENV)/.group-demo $(VENV)/.group-peers  ## lanes and peers on the embedded cluster: five minutes
	$(BIN)/python -m bench run --minutes 5 --output $(RESULTS) $(ARGS)

bench-encoding: build $(VENV)/.group-bench $(VENV)/.group-peers  ## encoders and timestamps beside fastavro, orjson and others
	mkdir -p $(RESULTS)
	$(BIN)/python -m bench.encoding --json $(RESULTS)/encoding.json

bench-cluster: build $(VENV)/.group-bench $(VENV)/.group-demo $(VENV)/.group-peers  ## the full price list on three real brokers, or on BOOTSTRAP
	$(BIN)/python -m bench run $(if $(BOOTSTRAP),--bootstrap-servers $(BOOTSTRAP),--cluster own) --rounds 9 --others 2 --minutes 40 \
	    --output $(RESULTS) $(ARGS)

bench-engines: build $(VENV)/.group-bench $(VENV)/.group-demo $(VENV)/.group-test $(VENV)/.group-engines  ## the sinks of Spark, Ray and Dask beside the engines' own, on three real brokers
	$(BIN)/python -m bench.sinks --json $(RESULTS)/sinks.json $(ARGS)

figures: $(VENV)/.group-bench $(VENV)/.group-demo $(VENV)/.group-peers  ## every committed figure again, into RESULTS: two hours and more on a quiet machine
	$(MAKE) demo JSON=$(RESULTS)/demo.json
	$(MAKE) bench-startup JSON=$(RESULTS)/startup.json
	$(BIN)/python -m bench.floor --json $(RESULTS)/floor.json
	$(BIN)/python -m bench.floor --cluster own --json $(RESULTS)/floor-brokers.json
	$(BIN)/python -m bench.floor.tuning --json $(RESULTS)/tuning.json
	$(BIN)/python -m bench.tuning --json $(RESULTS)/machine.json
	$(BIN)/python -m bench.floor.stream --json $(RESULTS)/stream.json
	$(BIN)/python -m bench.floor.curve --json $(RESULTS)/curve.json
	$(BIN)/python -m bench.floor.calls --cluster own --json $(RESULTS)/calls.json
	$(BIN)/python -m bench.safe --rounds 8 --json $(RESULTS)/safe.json
	$(BIN)/python -m bench.aio --rounds 5 --json $(RESULTS)/aio.json --docs
	$(BIN)/python -m bench.load --json $(RESULTS)/load.json
	$(BIN)/python -m bench.load --data synthetic --rounds 3 --json $(RESULTS)/load-synthetic.json rows kcat "load, Parquet"
	$(BIN)/python -m bench.load --data synthetic --rounds 1 --json $(RESULTS)/load-synthetic-pandas.json rows "to Avro" pandas
	$(BIN)/python -m bench.load.stream --json $(RESULTS)/load-stream.json
	$(BIN)/python -m bench.scaling --json $(RESULTS)/scaling.json
	$(MAKE) bench-encoding bench bench-cluster
	$(BIN)/python -m bench report $(RESULTS) --readme
	$(BIN)/python -m bench.tuning.page
	$(BIN)/python -m bench.scaling.page
	$(BIN)/python -m bench.demo.readme

bench-startup: build $(VENV)/.group-bench  ## what `import twolane` costs
	@$(if $(JSON),mkdir -p $(dir $(JSON)))
	$(BIN)/python -m bench.startup $(if $(JSON),--output $(JSON)) $(ARGS)

counts: build  ## instructions of the hot loops, under valgrind, against the committed numbers
	$(BIN)/python -m bench.counts $(ARGS)

cluster-up:  ## three KRaft brokers on localhost:9092, 9093, 9094
	docker compose up --wait

cluster-down:  ## stop them and forget their logs
	docker compose down --volumes

docs: build $(VENV)/.group-docs $(VENV)/.group-test  ## build/site/index.html; a warning is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs build/site

sdist: $(VENV)/.group-release  ## dist/*.tar.gz: the tracked sources
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --sdist

wheel: $(VENV)/.group-release  ## dist/: sdist, and a wheel for each Python here, each tried in an empty environment
	$(BIN)/python -m tests.packaging.check_wheel $(ARGS)

check-wheel: $(VENV)/.group-release  ## the same with one Python and the quicker tests
	$(BIN)/python -m tests.packaging.check_wheel --quick --once --python $(BIN)/python --outdir build/dist $(ARGS)

matrix: build $(VENV)/.group-release  ## every series of confluent-kafka that is accepted, and one that is not
	$(BIN)/python -m tests.packaging.check_matrix $(ARGS)

# dist/ has to hold the wheel for this Python.
sbom: $(VENV)/.group-release  ## dist/twolane.cdx.json: all that an installed wheel brings along
	rm -rf build/sbom
	$(BIN)/python -m venv --without-pip build/sbom
	$(PIP) --python build/sbom install dist/twolane-*-cp$$($(BIN)/python -c 'import sys; print(*sys.version_info[:2], sep="")')-*.whl
	$(BIN)/cyclonedx-py environment --output-reproducible --output-format JSON --output-file dist/twolane.cdx.json build/sbom

clean:  ## forget .venv, build/, dist/ and everything generated
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find ext src -name '*.so' -delete
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

# What the first command of a clone installs: pip would compile all of pandas, the first import compiles what is used.
$(VENV)/.group-build $(VENV)/.group-demo $(VENV)/.editable: COMPILE := --no-compile

# One stamp for each dependency group of pyproject.toml.
$(VENV)/.group-%: $(VENV)/.python pyproject.toml
	@echo "Installing the packages of group $*"
	$(PIP) install $(COMPILE) --group $*
	@touch $@

# The editable install brings the run-time dependencies, the metadata and the pytest plugin; it finds ext/ compiled already.
$(VENV)/.editable: $(VENV)/.group-build pyproject.toml | build/.built-$(FLAVOUR)
	@echo "Installing twolane editable, and what it needs at run time"
	TWOLANE_COMPILED=1 $(PIP) install $(COMPILE) --no-build-isolation --editable .
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

# setup.py says how the C is written; Cython looks at the sources alone.
build/.setup: setup.py
	rm -rf build/cython
	@mkdir -p build && touch $@

# One flavour is built at a time; another one is a rebuild of everything, and one that was interrupted leaves a stamp too.
build/.built-$(FLAVOUR): build/.compiler build/.setup $(VENV)/.group-build $(SOURCES)
	@echo "Compiling ext/ ($(FLAVOUR))"
	@other=$$(find build -maxdepth 1 -name '.built-*' ! -name '.built-$(FLAVOUR)'); rm -f build/.built-*; \
	if [ -n "$$other" ] || [ "$(FLAVOUR)" != normal ]; then again=1; touch build/.built-in-part; else again=0; fi; \
	$(SWITCH_$(FLAVOUR)) CYTHON_FORCE_REGEN=$$again $(BIN)/python setup.py --quiet build_ext --inplace $$([ $$again = 0 ] || echo --force) \
	    >build/compile.log 2>&1 || { cat build/compile.log >&2; exit 1; }
	@# What Cython only warns of is an error here: most of all a call that would take the GIL back in a loop without it.
	@! grep -A 12 -E '^(warning|performance hint): ext/' build/compile.log >&2
	@rm -f build/.built-in-part
	@touch $@
