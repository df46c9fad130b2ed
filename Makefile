# Everything a fresh clone needs: `make demo`, `make test`, `make lint`, `make bench`.
# The environment is kept in .venv and made anew when the pins or the package's metadata change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench samples clean

demo: $(READY)
	$(BIN)/napari-metassl demo --output demo-output

test: $(READY)
	.ci/headless $(BIN)/python -m pytest -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	.ci/headless $(BIN)/python -m benchmarks.run_all

# The phantoms and the trained pair of sample_data, made again from their seed.
samples: $(READY)
	$(BIN)/python sample_data/make_phantoms.py
	$(BIN)/python sample_data/train_pair.py

$(READY): constraints.txt pyproject.toml .ci/setup
	.ci/setup $(PYTHON) $(VENV)
	touch $@

clean:
	rm -rf $(VENV) build dist demo-output benchmarks/out
