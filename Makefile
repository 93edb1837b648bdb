# Two commands do everything on a fresh machine: `make quickstart` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: quickstart test check format bench dist clean

quickstart: $(VENV)/.installed  ## install, then train and score the embedded example
	$(BIN)/lorafit train quickstart

test: $(VENV)/.installed-dev  ## all tests: offline, on the CPU
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist worksteal  # many start Python anew

check: $(VENV)/.installed-dev  ## formatter, linter, type checker, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

dist: $(VENV)/.installed  ## the wheel, checked and tried in an empty environment
	$(PIP_INSTALL) '.[dist]'
	rm -rf build dist
	$(BIN)/python -m build --wheel
	$(BIN)/twine check --strict dist/*
	scripts/try_wheel.sh $(PYTHON) dist/*.whl

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev  ## what needs no download, into scripts/bench/RESULTS.md; some 40 minutes on two quiet cores
	$(BIN)/python scripts/bench/startup.py --quickstart --write
	$(BIN)/python scripts/bench/lora_layer.py --write
	$(BIN)/python scripts/bench/train.py --write
	$(BIN)/python scripts/bench/train.py --dtype bfloat16 --only lorafit hf-trainer+peft --write
	$(BIN)/python scripts/bench/train.py --shape gemma3-270m --only lorafit hf-trainer+peft --rounds 1 --write
	$(BIN)/python scripts/bench/decode.py --write
	$(BIN)/python scripts/bench/decode.py --shape gemma3-270m --beams 4 --batch-sizes 8 --max-new-tokens 24 --write
	$(BIN)/python scripts/bench/merge.py --write
	$(BIN)/python scripts/bench/encode.py --write
	$(BIN)/python scripts/bench/sweep.py --write

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@
