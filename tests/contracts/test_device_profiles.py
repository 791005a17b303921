"""What every shipped device profile must hold to."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import get_args

import pytest

from edgewright.profile import DeviceProfile, PowerSensorName
from edgewright.profiles import load_profile, shipped_folder
from edgewright_agent.protocol import RUNTIMES
from edgewright_agent.sensors.power import POWER_SENSORS

FILES = sorted(shipped_folder().glob("*.toml"))
EXPECTED = {
    "android-arm64",
    "generic-aarch64",
    "generic-armv7l",
    "jetson-agx-orin",
    "jetson-nano",
    "jetson-orin-nano",
    "jetson-orin-nx",
    "jetson-xavier-nx",
    "raspberry-pi-3",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "raspberry-pi-zero-2-w",
    "x86-64-linux",
    "x86-64-vnni-linux",
}

#: The delegates and providers that a runtime can be asked for.
PROVIDERS = {
    "onnxruntime": {"TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"},
    "ai-edge-litert": {"XNNPACK", "CPU"},
    "tflite-runtime": {"XNNPACK", "CPU"},
}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


@pytest.fixture
def profile(path: Path) -> DeviceProfile:
    return load_profile(path)


def test_all_are_there() -> None:
    assert {path.stem for path in FILES} == EXPECTED


def test_the_schema_knows_exactly_the_agent_s_sensors() -> None:
    assert set(get_args(PowerSensorName)) == set(POWER_SENSORS)


def test_the_name_is_the_file_s(path: Path, profile: DeviceProfile) -> None:
    assert profile.name == path.stem


def test_sources_are_distinct_https_addresses(profile: DeviceProfile) -> None:
    assert len(set(profile.sources)) == len(profile.sources)
    assert all(source.startswith("https://") for source in profile.sources)


def test_figures_are_sane(profile: DeviceProfile) -> None:
    hardware = profile.hardware
    assert hardware.cores is None or 1 <= hardware.cores <= 128
    assert hardware.ram_bytes is None or hardware.ram_bytes % (256 << 20) == 0
    assert all(cluster.max_mhz is None or 500 <= cluster.max_mhz <= 6000 for cluster in hardware.clusters)
    limit = hardware.thermal.throttle_celsius
    assert limit is None or (60 <= limit <= 105 and hardware.thermal.zones)


def test_the_figures_of_a_named_board_are_complete(profile: DeviceProfile) -> None:
    if profile.name.startswith(("raspberry-pi", "jetson")):
        assert profile.hardware.ram_bytes is not None
        assert profile.hardware.clusters
        assert all(cluster.max_mhz for cluster in profile.hardware.clusters)
        assert profile.hardware.board_patterns


def test_runtimes_and_their_providers_exist(profile: DeviceProfile) -> None:
    assert set(PROVIDERS) == set(RUNTIMES)
    for name, support in profile.runtimes.items():
        assert set(support.providers) <= PROVIDERS[name]
        assert support.providers[-1] in ("CPU", "CPUExecutionProvider"), "the processor is the last resort"


def test_the_integer_format_is_one_the_kernels_have(profile: DeviceProfile) -> None:
    int8 = profile.numeric.int8
    arm = profile.hardware.arch != "x86_64"
    assert (int8.activation, int8.weight) == (("int8", "int8") if arm else ("uint8", "int8"))
    vnni = any("vnni" in feature for feature in profile.hardware.features)
    assert int8.reduce_range == (not arm and not vnni)


def test_power_is_measured_or_its_absence_explained(profile: DeviceProfile) -> None:
    assert set(profile.power.sensors) <= set(POWER_SENSORS)
    assert profile.power.sensors or len(profile.power.reason.split()) > 5


def test_no_two_boards_answer_to_one_name() -> None:
    patterns = [
        pattern.lower()
        for path in FILES
        for pattern in load_profile(path).hardware.board_patterns
        if pattern != "*"
    ]
    assert len(set(patterns)) == len(patterns)
    stems = [pattern.rstrip("*") for pattern in patterns]
    clashes = [(a, b) for a in stems for b in stems if a != b and b.startswith(a)]
    assert clashes == []


def test_armv7l_lists_only_what_has_wheels() -> None:
    profile = load_profile("generic-armv7l")
    assert set(profile.runtimes) == {"tflite-runtime"}
    assert re.search("only runtime", profile.runtimes["tflite-runtime"].notes)


def test_the_wheel_holds_every_profile(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    root = Path(__file__).resolve().parents[2]
    (wheel,) = WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        held = {
            Path(name).stem for name in archive.namelist() if name.startswith("edgewright/device_profiles/")
        }
    assert held == EXPECTED
