"""The profile schema: what a file may say, and how it is told what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.profile import Cluster, Hardware
from edgewright.profiles import load_profile, profile_problems

MINIMAL = """
title = "Bench board"
sources = ["https://example.org/board.pdf"]
[hardware]
arch = "aarch64"
soc = "Example 1"
[runtimes.onnxruntime]
providers = ["CPUExecutionProvider"]
[numeric]
native = ["fp32"]
int8 = { activation = "int8", weight = "int8" }
[power]
reason = "no sensor on this board"
"""


def write(folder: Path, text: str, name: str = "bench-board") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, name: str = "bench-board") -> list[str]:
    path = write(folder, text, name)
    return [str(problem).removeprefix(f"{path}: ") for problem in profile_problems(path)]


def test_the_smallest_file_says_nothing_it_does_not_know(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, MINIMAL))
    assert profile.name == "bench-board"
    assert profile.hardware.ram_bytes is None
    assert profile.hardware.cores is None
    assert profile.hardware.thermal.throttle_celsius is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("arch", "archh", "unknown key 'hardware.archh' (did you mean 'arch'?)"),
        ("[numeric]", "[numerics]", "unknown key 'numerics' (did you mean 'numeric'?)"),
        ('"aarch64"', '"arm64"', "(did you mean 'aarch64'?)"),
        ('"fp32"', '"fp31"', "numeric.native.0: Input should be"),
        (
            "runtimes.onnxruntime",
            "runtimes.onnxruntim",
            "runtimes: unknown runtime 'onnxruntim', did you mean",
        ),
        ('"int8", weight', '"uint4", weight', "numeric.int8.activation: Input should be 'uint8' or 'int8'"),
        ('weight = "int8"', 'weight = "uint8"', "int8 activations need int8 weights"),
        ("https://", "http://", "sources.0: expected an address that begins with https://"),
        ('["https://example.org/board.pdf"]', "[]", "sources: "),
        ('["CPUExecutionProvider"]', "[]", "runtimes.onnxruntime.providers: "),
        ('reason = "no sensor on this board"', "", "power: no sensors: say why in 'reason'"),
        ('reason = "no sensor on this board"', 'sensors = ["rpi-pmci"]', "(did you mean 'rpi-pmic'?)"),
        ('soc = "Example 1"', 'soc = "Example 1"\nram_bytes = "4 GB"', "hardware.ram_bytes: "),
        ('soc = "Example 1"', 'soc = "Example 1"\nram_bytes = 4', "hardware.ram_bytes: "),
        ('soc = "Example 1"', 'soc = "a\\u001b[2J"', "hardware.soc: expected one line of text"),
        ('soc = "Example 1"', 'soc = ""', "hardware.soc: expected one line of text"),
        ("title", 'name = "other"\ntitle', "unknown key 'name' (a profile is named by its file)"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in MINIMAL
    found = problems(tmp_path, MINIMAL.replace(old, new, 1))
    assert any(expected in line for line in found), found
    assert all("\n" not in line and "\x1b" not in line for line in found)


def test_every_wrong_key_is_told_at_once(tmp_path: Path) -> None:
    text = MINIMAL.replace("https://", "ftp://").replace('"fp32"', '"fp3"').replace("soc", "sock")
    assert len(problems(tmp_path, text)) == 4  # sources, native, and soc: one key unknown, one missing


def test_a_file_name_that_is_no_profile_name_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, MINIMAL, "Bench_Board")[0].startswith("name: expected small letters")


@pytest.mark.parametrize("text", ["title = ", "\udcff", "a = 1\na = 2"])
def test_what_is_not_toml_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bench-board.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    (problem,) = profile_problems(path)
    assert str(path) in str(problem)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    (problem,) = profile_problems(tmp_path / "nowhere.toml")
    assert str(problem).endswith("no such file")


def test_little_cores_do_not_count_for_benchmarks() -> None:
    big, little = Cluster("Cortex-A78", 2, 2400), Cluster("Cortex-A55", 6, 1800, performance=False)
    hardware = Hardware(arch="aarch64", soc="Example 2", clusters=(big, little))
    assert (hardware.cores, hardware.performance_cores) == (8, 2)


@given(st.integers(1, 64), st.integers(1, 64))
def test_threads_never_exceed_the_cores_there_are(profile_cores: int, cpu_count: int) -> None:
    hardware = Hardware(arch="x86_64", soc="any", clusters=(Cluster("any", profile_cores),))
    assert hardware.threads(cpu_count) == min(profile_cores, cpu_count)


def test_threads_of_an_unknown_machine_are_its_own_cores() -> None:
    assert Hardware(arch="x86_64", soc="any").threads(12) == 12
