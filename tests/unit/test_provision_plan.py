"""Which runtimes a device can have, from the names of the wheels that there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from edgewright.device.facts import Facts
from edgewright.errors import (
    ConfigError,
    DeviceBusy,
    DeviceError,
    DiskFull,
    MissingRuntime,
    StableDeviceError,
)
from edgewright.profiles import load_profile
from edgewright.provision.ground import check_ground, check_space
from edgewright.provision.plan import Plan, Planner, check_asked
from edgewright.provision.platform import Platform


def _wheels(project: str, version: str, pythons: Sequence[int], *platforms: str) -> list[str]:
    return [f"{project}-{version}-cp3{n}-cp3{n}-{where}.whl" for n in pythons for where in platforms]


#: As published by late 2026, as far as the decisions need it.
WHEELS = [
    *_wheels("onnxruntime", "1.32.0", (11, 12, 13, 14), "manylinux_2_28_aarch64", "manylinux_2_28_x86_64"),
    *_wheels("onnxruntime", "1.23.2", (10, 11, 12), "manylinux_2_27_aarch64.manylinux_2_28_aarch64"),
    *_wheels("onnxruntime", "1.19.2", (8, 9), "manylinux_2_27_aarch64.manylinux_2_28_aarch64"),
    *_wheels("ai_edge_litert", "2.3.0", range(10, 15), "manylinux_2_27_aarch64", "manylinux_2_27_x86_64"),
    *_wheels("ai_edge_litert", "2.1.0", (9,), "manylinux_2_17_aarch64.manylinux2014_aarch64"),
    *_wheels("tflite_runtime", "2.14.0", (9, 10, 11), "manylinux_2_34_aarch64", "manylinux_2_34_armv7l"),
    *_wheels("numpy", "1.24.4", (8, 9, 10, 11), "manylinux_2_17_aarch64.manylinux2014_aarch64"),
    *_wheels("numpy", "2.2.6", (10, 11, 12, 13), "manylinux_2_17_aarch64.manylinux2014_aarch64"),
    *_wheels("numpy", "2.2.6", (10, 11, 12, 13), "musllinux_1_2_aarch64"),
    *_wheels("numpy", "2.4.6", (11, 12, 13, 14), "manylinux_2_31_armv7l"),
]  # fmt: skip


class Names:
    """An index that knows wheels by name alone."""

    def versions(self, name: str, platform: Platform) -> tuple[Version, ...]:
        found = set()
        for wheel in WHEELS:
            project, version, _, tags = parse_wheel_filename(wheel)
            if project == name and tags & platform.tags:
                found.add(version)
        return tuple(sorted(found, reverse=True))


def plan(python: str, arch: str, libc: str, profile: str, *asked: str, numpy: str = "") -> Plan:
    major, minor = map(int, python.split("."))
    platform = Platform((major, minor, 2), False, arch, libc)
    return Planner("board", load_profile(profile), platform, Names(), numpy).plan(asked)


@pytest.mark.parametrize(
    ("python", "arch", "libc", "profile", "asked", "requirements"),
    [
        ("3.11", "aarch64", "glibc 2.36", "raspberry-pi-5", (), ("numpy", "onnxruntime")),
        ("3.13", "aarch64", "glibc 2.41", "raspberry-pi-5", ("ai-edge-litert",), ("numpy", "ai-edge-litert")),
        (
            "3.11",
            "aarch64",
            "glibc 2.36",
            "raspberry-pi-4",
            ("tflite-runtime",),
            ("numpy<2", "tflite-runtime"),
        ),
        ("3.10", "aarch64", "glibc 2.35", "jetson-orin-nano", (), ("numpy", "onnxruntime")),
        ("3.8", "aarch64", "glibc 2.31", "jetson-xavier-nx", (), ("numpy", "onnxruntime")),
        ("3.8", "aarch64", "glibc 2.27", "jetson-nano", (), ("numpy", "onnxruntime")),
        ("3.9", "aarch64", "glibc 2.31", "generic-aarch64", ("ai-edge-litert",), ("numpy", "ai-edge-litert")),
        (
            "3.11",
            "aarch64",
            "glibc 2.36",
            "raspberry-pi-4",
            ("onnxruntime", "tflite-runtime"),
            ("numpy<2", "onnxruntime", "tflite-runtime"),
        ),
    ],
)
def test_what_can_be_had(
    python: str, arch: str, libc: str, profile: str, asked: tuple[str, ...], requirements: tuple[str, ...]
) -> None:
    assert plan(python, arch, libc, profile, *asked).requirements == requirements


@pytest.mark.parametrize(
    ("python", "arch", "libc", "profile", "asked", "said"),
    [
        (
            "3.13", "aarch64", "glibc 2.41", "raspberry-pi-5", "tflite-runtime",
            "no wheel of tflite-runtime for Python 3.13 on aarch64 with glibc 2.41, "
            "there are for Python 3.9 to 3.11 (--runtime onnxruntime can be had)",
        ),
        (
            "3.10", "aarch64", "glibc 2.31", "raspberry-pi-4", "tflite-runtime",
            "no wheel of tflite-runtime for glibc 2.31 on aarch64, "
            "there are for a newer glibc and Python 3.9 to 3.11",
        ),
        (
            "3.8", "aarch64", "glibc 2.31", "jetson-xavier-nx", "ai-edge-litert",
            "no wheel of ai-edge-litert for Python 3.8 on aarch64 with glibc 2.31, "
            "there are for Python 3.9 to 3.14",
        ),
        (
            "3.13", "armv7l", "glibc 2.41", "generic-armv7l", None,
            "no runtime of its profile can be had: "
            "there is no wheel of tflite-runtime for Python 3.13 on armv7l",
        ),
        (
            "3.11", "armv7l", "glibc 2.36", "generic-armv7l", None,
            "no wheel of numpy<2 for Python 3.11, armv7l, glibc 2.36, which tflite-runtime needs "
            "(apt install python3-numpy there: it is used then; or set PIP_EXTRA_INDEX_URL=",
        ),
        (
            "3.11", "aarch64", "musl 1.2", "generic-aarch64", None,
            "the wheels of onnxruntime for aarch64 are for glibc, and this is musl 1.2",
        ),
        (
            "3.11", "riscv64", "glibc 2.39", "generic-aarch64", "onnxruntime",
            "no wheel of onnxruntime for riscv64",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_had_and_what_to_do(
    python: str, arch: str, libc: str, profile: str, asked: str | None, said: str
) -> None:
    with pytest.raises(MissingRuntime) as caught:
        plan(python, arch, libc, profile, *filter(None, [asked]))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_device_s_own_numpy_takes_the_place_of_a_missing_wheel() -> None:
    found = plan("3.11", "armv7l", "glibc 2.36", "generic-armv7l", numpy="1.24.2")
    assert found.requirements == ("tflite-runtime",)
    assert found.provided == {"numpy": "1.24.2"}
    assert "numpy 1.24.2 of the device's own Python is used" in found.notes[-1]
    with pytest.raises(MissingRuntime, match="numpy<2"):
        plan("3.11", "armv7l", "glibc 2.36", "generic-armv7l", numpy="2.4.6")


def test_a_jetson_is_told_where_its_gpu_s_runtime_is() -> None:
    (note,) = plan("3.10", "aarch64", "glibc 2.35", "jetson-agx-orin").notes
    assert "Tensorrt or CUDA" in note
    assert "NVIDIA" in note


def test_the_profile_decides_what_may_be_asked_for() -> None:
    with pytest.raises(ConfigError, match="profile generic-armv7l lists no runtime 'onnxruntime'"):
        check_asked(load_profile("generic-armv7l"), ["onnxruntime"])


def test_the_tags_of_a_free_threaded_python_are_its_own() -> None:
    platform = Platform((3, 13, 0), True, "aarch64", "glibc 2.41")
    assert Names().versions("numpy", platform) == ()
    assert "--abi=cp313t" in platform.pip_words


@pytest.mark.parametrize(
    ("libc", "first", "count"),
    [
        ("glibc 2.17", "manylinux_2_17_aarch64", 3),
        ("musl 1.2", "musllinux_1_2_aarch64", 4),
        ("bionic", "linux_aarch64", 1),
        ("", "linux_aarch64", 1),
    ],
)
def test_platforms_of_a_libc(libc: str, first: str, count: int) -> None:
    names = Platform((3, 11, 0), False, "aarch64", libc).names
    assert (names[0], len(names)) == (first, count)


# --- what no wheel can mend ------------------------------------------------------------------------

GOOD = Facts(
    version=(3, 11, 2),
    implementation="CPython",
    is_free_threaded=False,
    is_64_bit=True,
    machine="aarch64",
    release="6.6.31",
    libc="glibc 2.36",
    has_venv=True,
    is_venv=False,
    numpy="",
    numpy_reason="No module named 'numpy'",
    root="/home/pi/.cache/edgewright",
    is_writable=True,
    is_noexec=False,
    disk_free_bytes=1 << 33,
    files_free=1 << 20,
    memory_available_bytes=1 << 31,
    agents={},
    holder="",
    record="",
    wall_s=(0.0, 0.1),
)


def test_good_ground() -> None:
    check_ground("board", GOOD)
    check_space("board", GOOD, 1 << 20)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"version": (3, 6, 9)}, MissingRuntime, "Python 3.6.9 is too old, 3.8 or newer is needed"),
        ({"implementation": "PyPy"}, MissingRuntime, "no wheels for PyPy"),
        ({"libc": "bionic"}, MissingRuntime, "proot-distro install debian"),
        ({"has_venv": False}, MissingRuntime, "apt install python3-venv"),
        ({"is_writable": False}, StableDeviceError, "cannot be written (set workdir for board"),
        ({"is_noexec": True}, StableDeviceError, "mounted noexec"),
        ({"holder": "anna@desk: a job"}, DeviceBusy, "held by anna@desk: a job"),
    ],
)
def test_bad_ground(changes: dict[str, object], kind: type[DeviceError], said: str) -> None:
    with pytest.raises(kind) as caught:
        check_ground("board", replace(GOOD, **changes))  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_too_little_space() -> None:
    with pytest.raises(DiskFull, match="an environment needs 300 MiB and 100 MiB are free"):
        check_space("board", replace(GOOD, disk_free_bytes=100 << 20), 300 << 20)


@pytest.mark.parametrize(
    ("machine", "is_64_bit", "arch"),
    [
        ("aarch64", True, "aarch64"),
        ("aarch64", False, "armv7l"),
        ("armv8l", False, "armv7l"),
        ("armv7l", False, "armv7l"),
        ("x86_64", False, "i686"),
        ("AMD64", True, "AMD64"),
    ],
)
def test_the_architecture_of_wheels(machine: str, is_64_bit: bool, arch: str) -> None:
    assert replace(GOOD, machine=machine, is_64_bit=is_64_bit).arch == arch
