# make setup   .venv with the edgewright command and everything below needs
# make demo    the main job on this machine: build/demo/report.json and report.html
# make device-farm  four stand-ins for devices to try it with, until Ctrl-C
# make test    all tests that take seconds, on real servers and runtimes
# make test-devices   those that take long: devices that fail
# make test-emulated  those on emulated processors
# make check   format, lint, types

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ENVS := build/envs
DEMO := build/demo
STAND_INS := build/stand-ins
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Most of what is started here takes its time for imports: their bytecode is kept, whatever the caller sets.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo device-farm environments test test-devices test-emulated check clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt tools/make-venv
	tools/make-venv $(PYTHON) $(VENV) -c constraints.txt -e '.[dev]'
	touch $@

# The environments of devices: nothing but numpy, psutil and one runtime.
$(ENVS)/%/.ready: tools/device-envs/%.txt tools/make-venv | setup
	tools/make-venv $(PYTHON) $(@D) -r $<
	touch $@

# The agent's other Pythons, those that are found here.
$(ENVS)/.pythons: tools/old-pythons | setup
	mkdir -p $(ENVS)
	tools/old-pythons $(ENVS)
	touch $@

DEVICE_ENVS := $(patsubst tools/device-envs/%.txt,$(ENVS)/%/.ready,$(wildcard tools/device-envs/*.txt))

$(ENVS)/.system: tools/system-packages | setup
	mkdir -p $(ENVS)
	tools/system-packages
	touch $@

demo: setup
	mkdir -p $(DEMO)
	$(BIN)/edgewright run examples/demo.toml --store $(DEMO)/store.sqlite \
	  --json $(DEMO)/report.json --html $(DEMO)/report.html

# What the emulated devices are made of; docs/devices/stand-ins.md.
$(STAND_INS)/.ready: tests/devices/rootfs.py | setup $(ENVS)/.system
	rm -rf $(STAND_INS)
	timeout 1200 $(BIN)/python -m tests.devices.rootfs $(STAND_INS)

# The one of them that runs on this machine's own processor.
$(STAND_INS)/adbd: | setup $(ENVS)/.system
	timeout 600 $(BIN)/python -m tests.devices.rootfs $(STAND_INS) adbd

device-farm: setup $(ENVS)/.system $(STAND_INS)/.ready $(ENVS)/onnxruntime/.ready
	$(BIN)/python -m tools.device_farm build/device-farm

environments: setup $(DEVICE_ENVS) $(ENVS)/.pythons $(ENVS)/.system $(STAND_INS)/adbd

# The environments are mostly waited for, so they are made side by side and beside the types' check. So are the
# devices of most tests: more of these run at once than there are processors. What takes times runs alone.
WORKERS := $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
EMULATED := arch or system
test:
	$(MAKE) -j4 environments check
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m 'not alone and not long and not ($(EMULATED))'
	$(BIN)/pytest -m 'alone and not long'

# Devices that are cut off, filled up and killed: what waits for time limits must not wait for processors too.
test-devices: environments
	$(BIN)/pytest -n auto --dist worksteal -m 'long and not alone'
	$(BIN)/pytest -m 'long and alone'

# Whole userlands and a whole machine.
test-emulated: environments $(STAND_INS)/.ready
	$(BIN)/pytest -n 2 --dist loadfile -m '$(EMULATED)'

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy sdk agent tests tools examples benchmarks

clean:
	rm -rf build .venv
