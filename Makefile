# make setup   .venv with the edgewright command and everything below needs
# make demo    the main job on this machine: build/demo/report.json and report.html
# make test    all tests
# make check   format, lint, types

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ENVS := build/envs
DEMO := build/demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test check clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt tools/make-venv
	tools/make-venv $(PYTHON) $(VENV) -c constraints.txt -e '.[dev]'
	touch $@

# The environments of devices: nothing but numpy, psutil and one runtime.
$(ENVS)/%/.ready: tools/device-envs/%.txt tools/make-venv
	tools/make-venv $(PYTHON) $(@D) -r $<
	touch $@

# The agent's other Pythons, those that are found here.
$(ENVS)/.pythons: tools/old-pythons
	mkdir -p $(ENVS)
	tools/old-pythons $(ENVS)
	touch $@

DEVICE_ENVS := $(patsubst tools/device-envs/%.txt,$(ENVS)/%/.ready,$(wildcard tools/device-envs/*.txt))

$(ENVS)/.system: tools/system-packages
	mkdir -p $(ENVS)
	tools/system-packages
	touch $@

demo: setup
	mkdir -p $(DEMO)
	$(BIN)/edgewright run examples/demo.toml --store $(DEMO)/store.sqlite \
	  --json $(DEMO)/report.json --html $(DEMO)/report.html

# Whatever takes times runs alone, after the rest.
test: setup $(DEVICE_ENVS) $(ENVS)/.pythons $(ENVS)/.system check
	$(BIN)/pytest -n auto -m 'not alone'
	$(BIN)/pytest -m alone

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy sdk agent tests examples benchmarks

clean:
	rm -rf build .venv
