# make demo: the whole road on this machine.  make test: the tests.  make check: format, lint, types, tests.
PYTHON ?= python3
ACCEL ?= $(shell if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then echo cuda; else echo cpu; fi)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup
setup: $(VENV)/.installed-$(ACCEL)

$(VENV)/.installed-$(ACCEL): pyproject.toml requirements-$(ACCEL).txt docker/install.sh
	@docker/venv.sh $(PYTHON) $(VENV)
	@echo "Installing pinned packages for $(ACCEL) (a few minutes the first time) ..."
	@docker/install.sh $(BIN)/python $(ACCEL) trainer evaluator serving vllm dev
	@touch $@
