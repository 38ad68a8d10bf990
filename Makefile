# make demo: the study of studies/demo.yaml, end to end.  make demo-all: the sister studies too.
# make test: every test.  make soak: a small study, killed 50 times at random moments.
# make bench: Strata's speed beside its peers'; results in benchmarks/.
# All need Python 3.11 or later and nothing else; what they use is installed into .venv once, and
# again when envs/requirements.txt changes.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-all test soak bench lint install

demo: install
	$(BIN)/snakemake --workflow-profile profiles/demo

demo-all: install
	$(BIN)/snakemake all reinit variability agreement --workflow-profile profiles/demo

test: install lint
	# One thread a process: tests are many small jobs, and threads of two would fight.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

soak: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -s tests/soak

bench: install
	$(BIN)/python benchmarks/run.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules

install: .venv/installed.txt

.venv/installed.txt: envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Strata needs Python 3.11 or later; say which with make PYTHON=..."; exit 1; }
	@if cmp -s $< $@; then touch $@; else \
		echo "Installing into .venv (once)" && $(PYTHON) -m venv .venv \
		&& $(BIN)/python -m pip install --quiet --disable-pip-version-check -r $< && cp $< $@; fi
