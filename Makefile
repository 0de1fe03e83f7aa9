# Everything on a fresh machine with Python 3.11 or newer and make: `make run`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := .stamps

.PHONY: run test lint bench calibration docs web web-check screenshots clean

# The main job on the bundled model and texts: runs/smollm2-135m/report.html
run: $(STAMPS)/run
	$(BIN)/tdyn run

# A process per core with one thread each; a file's tests stay together, since they share fixtures.
# Files run in the order of tests/conftest.py, the longest first. Compiled modules are kept, whatever
# the caller's environment says: each process of the tests would compile all of them again.
test: $(STAMPS)/dev
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMPS)/dev
	$(BIN)/python benchmarks/bench.py

# Power and calibration of every claim, the table of docs/calibration.md: some three hours of a core.
calibration: $(STAMPS)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m transformer_dynamics.claims.calibration --out docs/calibration

# The page's script, style and plotting library, from web/ into the package.
web: $(STAMPS)/web
	cd web && npm run --silent build

# Types and tests of the page's script, and whether what the package holds is what web/ builds.
web-check: $(STAMPS)/web
	cd web && npm run --silent check && npm run --silent test && npm run --silent fresh

# Pictures of the page's views, light and dark, wide and narrow, of a small run.
screenshots: $(STAMPS)/dev
	$(BIN)/python benchmarks/screenshots.py --out docs/_build/screenshots

docs: $(STAMPS)/docs
	$(BIN)/python -m sphinx -W -j auto -b html docs docs/_build/html

clean:
	rm -rf $(STAMPS) $(VENV) web/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis docs/_build docs/_generated docs/pages docs/gallery dist build

# torch goes first and by its exact version, so that a CPU build at hand is taken.
$(STAMPS)/run: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; make PYTHON=python3.11')"
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch==2.13.0
	$(PIP) install -q -c constraints.txt -e '.[bundled]'
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/run
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	touch $@

$(STAMPS)/docs: $(STAMPS)/dev
	$(PIP) install -q -c constraints.txt -e '.[docs]'
	touch $@

$(STAMPS)/web: web/package-lock.json
	cd web && npm ci --ignore-scripts --silent
	mkdir -p $(STAMPS) && touch $@
