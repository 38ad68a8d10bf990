# make demo: the study of studies/demo.yaml, end to end.  make demo-all: with the companion studies.
# make demo-frontier: after the demo, which layers to keep and what each choice costs.
# make check: linters, types and the fast unit tests, in a few minutes.
# make test: the tests that a change must pass.  make test T=tests/unit/test_x.py::name: one test.
# make test-all: also the tests that take long.
# make soak: only the test that kills a small study 50 times at random moments.
# make lock: write the pins of envs/requirements.txt again, from pyproject.toml's dependencies.
# make errors: how often conclusions are wrong, simulated at length; writes docs/errors.md's tables.
# make bench: Strata's speed compared with other libraries'; results in benchmarks/.
# All need only Python 3.11 or later; everything else is installed into .venv once, and again when
# envs/requirements.txt changes.

PYTHON ?= python3
BIN := .venv/bin
# One thread per process: tests are many small jobs, whose threads would compete.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# How many tests run at the same time; tests/conftest.py decides the order.
WORKERS ?= 2
TOGETHER := -n $(WORKERS)
ANALYSES := cka,controls,truncation,skipping,exits,frontier,export,reinit,variability,agreement,claims
FRONTIER := cka,controls,truncation,skipping,exits,frontier,export,claims

.PHONY: demo demo-all demo-frontier check test test-all soak errors bench lint types install lock

demo: install
	$(BIN)/snakemake --workflow-profile profiles/demo

# A key on the command line is merged into the study, which so judges all three papers' claims.
demo-all: install
	$(BIN)/snakemake --workflow-profile profiles/demo --config 'study={"analyses": [$(ANALYSES)]}'

demo-frontier: install
	$(BIN)/snakemake --workflow-profile profiles/demo --config 'study={"analyses": [$(FRONTIER)]}'

check: lint
	$(PYTEST) $(TOGETHER) -m "not slow" tests/unit

ifdef T
test: install
	$(PYTEST) $(T)
else
test: lint
	$(PYTEST) $(TOGETHER) -m "not nightly"
endif

test-all: lint
	$(PYTEST) $(TOGETHER)

soak: install
	$(PYTEST) -s tests/soak

errors: install
	STRATA_ERRORS=1 $(PYTEST) $(TOGETHER) tests/errors

bench: install
	$(BIN)/python benchmarks/run.py

lint: types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules

types: install
	$(BIN)/mypy workflow_scripts/strata workflow_scripts/snakemake_logger_plugin_strata

install: .venv/installed.txt

lock: install
	$(BIN)/python envs/lock.py $(UPGRADE)

.venv/installed.txt: envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Strata needs Python 3.11 or later; choose one with make PYTHON=..."; exit 1; }
	@if cmp -s $< $@; then touch $@; else \
		echo "Installing into .venv (once)" && $(PYTHON) -m venv .venv \
		&& $(BIN)/python -m pip install --quiet --disable-pip-version-check -r $< && cp $< $@; fi
