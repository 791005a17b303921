"""What the probe says of a device, and how it says what is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.devices import boards, tree

from edgewright_agent import cpu, inventory
from edgewright_agent.probe import probe, read_board, read_libc, read_serial
from edgewright_agent.protocol import RUNTIMES, Device, decode, encode
from edgewright_agent.sensors.power import POWER_SENSORS


def test_this_machine(tmp_path: Path) -> None:
    device = probe(store_dir=str(tmp_path / "not" / "yet"))
    assert device.python == sys.version.split()[0]
    assert device.cpu_features and device.cpu_model
    assert 1 <= device.cpu_count <= (os.cpu_count() or 1)
    assert device.ram_bytes > 1 << 28
    assert device.disk_free_bytes > 0
    assert not (tmp_path / "not").exists(), "a probe leaves nothing behind"
    found = {runtime.name: runtime for runtime in device.runtimes}
    assert set(found) == set(RUNTIMES)
    assert found["onnxruntime"].reason == ""
    assert "CPUExecutionProvider" in found["onnxruntime"].providers
    assert found["onnxruntime"].version.count(".") == 2
    assert {sensor.name for sensor in device.sensors} == set(POWER_SENSORS)
    assert decode(Device, json.loads(json.dumps(encode(device)))) == device


def test_runtime_is_not_left_loaded() -> None:
    code = (
        "import sys; from edgewright_agent.probe import probe; probe(); print('onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        ("raspberry-pi-5", "Raspberry Pi 5 Model B Rev 1.0"),
        ("orin-nano", "NVIDIA Jetson Orin Nano Developer Kit"),
        ("laptop", "LENOVO 20XW"),
        ("x86-rapl", "Dell Inc. PowerEdge"),
        ("ina219", ""),
    ],
)
def test_board(board: str, expected: str, tmp_path: Path) -> None:
    boards.POWERED[board](tmp_path)
    assert read_board(str(tmp_path)) == expected


def test_the_serial_number_is_the_device_tree_s(tmp_path: Path) -> None:
    assert read_serial(str(tmp_path)) == ""
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "serial-number").write_bytes(b"10000000abcd1234\0")
    assert read_serial(str(tmp_path)) == "10000000abcd1234"


def test_every_sensor_is_listed_with_its_reason(tmp_path: Path) -> None:
    boards.agx_orin(tmp_path)
    sensors = {sensor.name: sensor for sensor in probe(str(tmp_path), str(tmp_path)).sensors}
    assert sensors["jetson-ina3221"].reason == ""
    assert len(sensors["jetson-ina3221"].rails) == 4
    assert sensors["rpi-pmic"].reason == "vcgencmd is not installed"


def test_libc() -> None:
    expected = os.confstr("CS_GNU_LIBC_VERSION") if sysconfig.get_config_var("HOST_GNU_TYPE") else None
    if expected:
        assert read_libc() == expected


def test_musl_is_known_by_its_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", refuse)
    assert read_libc(str(tmp_path)) == ""
    tree.put(tmp_path, "lib/ld-musl-aarch64.so.1", "")
    assert read_libc(str(tmp_path)) == "musl"


# --- processor --------------------------------------------------------------------------------


def test_core_designs_are_named_by_their_identification(tmp_path: Path) -> None:
    boards.raspberry_pi_5(tmp_path)
    processors = cpu.read_cpuinfo(str(tmp_path))
    assert cpu.model(processors) == "Cortex-A76"
    assert {"asimddp", "fphp", "asimdhp"} <= set(cpu.features(processors))


def test_unequal_cores_have_the_features_of_all() -> None:
    block = "processor\t: {}\nFeatures\t: fp asimd {}\nCPU implementer\t: 0x41\nCPU part\t: {}\n"
    cores = [(0, "", "0xd05"), (1, "", "0xd05"), (2, "asimddp", "0xd0b"), (3, "i8mm", "0xfff")]
    text = "\n".join(block.format(*core) for core in cores) + "\nHardware\t: BCM2835\n"
    processors = cpu.parse_cpuinfo(text)
    assert cpu.model(processors) == "2x Cortex-A55 + 1x Cortex-A76 + 1x implementer 0x41 part 0xfff"
    assert cpu.features(processors) == ("asimd", "fp")


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"proc/self/cgroup": "0::/app", "sys/fs/cgroup/app/cpu.max": "150000 100000"}, 1),
        ({"proc/self/cgroup": "0::/app", "sys/fs/cgroup/app/cpu.max": "20000 100000"}, 1),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/app", "sys/fs/cgroup/app/cpu.max": "max 100000"}, 4),
        ({"proc/self/cgroup": "0::/../app", "sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/job",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": 200000,
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": 100000,
            },
            2,
        ),
        ({"proc/self/cgroup": "3:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1}, 4),
        ({}, 4),
    ],
)
def test_cpus_are_counted_within_affinity_and_quota(
    files: dict[str, object], cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    for path, value in files.items():
        tree.put(tmp_path, path, value)
    assert cpu.count(str(tmp_path)) == cpus


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 8245240 * 1024),
        ({"proc/self/cgroup": "0::/app", "sys/fs/cgroup/app/memory.max": 1 << 30}, 1 << 30),
        ({"proc/self/cgroup": "0::/app", "sys/fs/cgroup/app/memory.max": "max"}, 8245240 * 1024),
        (
            {"proc/self/cgroup": "4:memory:/x", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": 1 << 29},
            1 << 29,
        ),
        (
            {"proc/self/cgroup": "4:memory:/", "sys/fs/cgroup/memory/memory.limit_in_bytes": 1 << 62},
            8245240 * 1024,
        ),
    ],
)
def test_memory_is_what_the_control_group_leaves(
    limits: dict[str, object], expected: int, tmp_path: Path
) -> None:
    boards.raspberry_pi_5(tmp_path)
    for path, value in limits.items():
        tree.put(tmp_path, path, value)
    assert cpu.ram_bytes(str(tmp_path)) == expected


# --- runtimes ---------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of this process and its children, where a test puts a module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_runtime_that_is_not_installed_names_the_command() -> None:
    found = inventory.find_runtime("tflite-runtime")
    assert found.reason == f"not installed ({sys.executable} -m pip install tflite-runtime)"


def test_runtime_whose_import_fails_says_why(package: Path) -> None:
    tree.put(package, "tflite_runtime/__init__.py", "")
    tree.put(
        package,
        "tflite_runtime/interpreter.py",
        "raise ImportError('libfoo.so.1: cannot open shared object')",
    )
    found = inventory.find_runtime("tflite-runtime")
    assert "tflite-runtime cannot be imported" in found.reason
    assert "\n" not in found.reason


def test_runtime_that_crashes_while_imported_does_not_take_the_probe_along(package: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.{})"
    tree.put(package, "tflite_runtime/interpreter.py", code.format("SIGILL"))
    found = inventory.find_runtime("tflite-runtime")
    assert found.reason == "importing it crashed with SIGILL: it was built for a newer processor"
    tree.put(package, "tflite_runtime/interpreter.py", code.format("SIGSEGV"))
    assert inventory.find_runtime("tflite-runtime").reason == "importing it crashed with SIGSEGV"


def test_runtime_that_hangs_while_imported(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.put(package, "tflite_runtime/interpreter.py", "import time; time.sleep(60)")
    monkeypatch.setattr(inventory, "TIMEOUT_S", 1.0)
    assert inventory.find_runtime("tflite-runtime").reason == "importing it did not end within 1 s"


def test_runtime_that_prints_and_exits(package: Path) -> None:
    code = "import sys; print('noise'); sys.exit('licence expired')"
    tree.put(package, "tflite_runtime/interpreter.py", code)
    assert (
        inventory.find_runtime("tflite-runtime").reason
        == "importing it ended with exit code 1: licence expired"
    )


def test_variant_of_a_runtime_is_found_by_its_module(package: Path) -> None:
    tree.put(package, "tflite_runtime/__init__.py", "")
    info = "tflite_runtime_nightly-2.15.dist-info"
    tree.put(
        package, f"{info}/METADATA", "Metadata-Version: 2.1\nName: tflite-runtime-nightly\nVersion: 2.15"
    )
    tree.put(package, f"{info}/RECORD", "tflite_runtime/__init__.py,,\n")
    assert inventory.distribution_version("tflite-runtime") == "2.15"


def test_missing_numpy_and_old_python_are_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inventory.python_reason((3, 7)) == "Python 3.7 is too old: 3.8 or newer is needed"
    assert inventory.python_reason((3, 13)) == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    reasons = {runtime.reason for runtime in inventory.find_runtimes()}
    assert reasons == {f"numpy is not installed ({sys.executable} -m pip install numpy)"}


def test_machine_with_very_many_cpus_is_read_to_the_end(tmp_path: Path) -> None:
    block = "processor\t: {}\nmodel name\t: EPYC\nflags\t\t: " + "sse2 avx2 avx512_vnni " * 60 + "\n"
    tree.put(tmp_path, "proc/cpuinfo", "\n".join(block.format(i) for i in range(256)))
    processors = cpu.read_cpuinfo(str(tmp_path))
    assert len(processors) == 256
    assert cpu.features(processors) == ("avx2", "avx512_vnni", "sse2")
