"""Finding profiles by name and path, and recognising a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import edgewright.profiles as finding
from edgewright.errors import ConfigError
from edgewright.profiles import (
    load_profile,
    load_profiles,
    match_profile,
    profile_names,
    profile_paths,
    shipped_folder,
)

SHIPPED = shipped_folder()
PI5 = (SHIPPED / "raspberry-pi-5.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without profiles of its own."""
    monkeypatch.delenv(finding.VARIABLE, raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def with_title(folder: Path, title: str, name: str = "raspberry-pi-5") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(PI5.replace("Raspberry Pi 5, 64-bit system", title), encoding="utf-8")
    return path


def test_the_shipped_profiles_are_found_from_anywhere() -> None:
    assert {"raspberry-pi-5", "jetson-orin-nano", "android-arm64", "x86-64-linux"} <= set(profile_names())
    assert list(load_profiles()) == sorted(profile_names())


def test_a_wrong_name_gets_its_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown profile 'rasberry-pi-5'.*did you mean 'raspberry-pi-5'"):
        load_profile("rasberry-pi-5")


def test_a_path_is_read_as_it_is(tmp_path: Path) -> None:
    path = with_title(tmp_path, "Mine", "my-board")
    assert load_profile(path).name == load_profile(str(path)).name == "my-board"


def test_the_working_directory_wins_over_the_shipped_ones(elsewhere: Path) -> None:
    with_title(elsewhere / "device_profiles", "Mine")
    assert load_profile("raspberry-pi-5").title == "Mine"


def test_the_variable_wins_over_both_in_its_order(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_title(elsewhere / "device_profiles", "Working directory")
    with_title(tmp_path / "a", "First")
    with_title(tmp_path / "b", "Second")
    monkeypatch.setenv(finding.VARIABLE, os.pathsep.join((str(tmp_path / "a"), str(tmp_path / "b"))))
    assert load_profile("raspberry-pi-5").title == "First"
    assert profile_paths()["raspberry-pi-5"] == tmp_path / "a" / "raspberry-pi-5.toml"


def test_a_variable_that_names_no_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(finding.VARIABLE, "/nowhere/at/all")
    with pytest.raises(ConfigError, match="EDGEWRIGHT_PROFILES: /nowhere/at/all is not a folder"):
        profile_names()


def test_a_home_directory_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(finding.VARIABLE, "~no-such-user-here/profiles")
    with pytest.raises(ConfigError, match="no such user"):
        profile_names()


def test_a_broken_profile_does_not_stand_in_the_way_of_another(elsewhere: Path) -> None:
    broken = with_title(elsewhere / "device_profiles", "Mine", "broken")
    broken.write_text("title = 1", encoding="utf-8")
    assert load_profile("raspberry-pi-4").name == "raspberry-pi-4"
    with pytest.raises(ConfigError, match="broken"):
        load_profiles()


VNNI = frozenset({"avx2", "avx_vnni"})


@pytest.mark.parametrize(
    ("arch", "features", "board", "expected"),
    [
        ("x86_64", frozenset({"avx2"}), "", "x86-64-linux"),
        ("x86_64", frozenset(), "", "x86-64-linux"),
        ("x86_64", VNNI, "", "x86-64-vnni-linux"),
        ("x86_64", frozenset({"avx512_vnni"}), "Some Laptop", "x86-64-vnni-linux"),
        ("aarch64", frozenset({"asimd"}), "", "generic-aarch64"),
        ("aarch64", frozenset({"asimd"}), "Radxa ROCK 5B", "generic-aarch64"),
        ("aarch64", frozenset({"asimd"}), "Raspberry Pi 5 Model B Rev 1.0", "raspberry-pi-5"),
        ("aarch64", frozenset({"asimd"}), "Raspberry Pi 4 Model B Rev 1.4", "raspberry-pi-4"),
        ("aarch64", frozenset({"asimd"}), "Raspberry Pi 3 Model B Plus Rev 1.3", "raspberry-pi-3"),
        ("aarch64", frozenset({"asimd"}), "Raspberry Pi Zero 2 W Rev 1.0", "raspberry-pi-zero-2-w"),
        ("aarch64", frozenset({"asimd"}), "NVIDIA Jetson Nano Developer Kit", "jetson-nano"),
        ("aarch64", frozenset({"asimd"}), "NVIDIA Jetson Xavier NX Developer Kit (eMMC)", "jetson-xavier-nx"),
        ("aarch64", frozenset({"asimd"}), "NVIDIA Jetson Orin Nano Developer Kit", "jetson-orin-nano"),
        (
            "aarch64",
            frozenset({"asimd"}),
            "NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super",
            "jetson-orin-nx",
        ),
        ("aarch64", frozenset({"asimd"}), "nvidia jetson agx orin developer kit", "jetson-agx-orin"),
        ("armv7l", frozenset({"neon"}), "Raspberry Pi 4 Model B Rev 1.4", "generic-armv7l"),
        ("riscv64", frozenset(), "", None),
    ],
)
def test_a_machine_gets_the_profile_that_fits(
    arch: str, features: frozenset[str], board: str, expected: str | None
) -> None:
    assert match_profile(arch, features, board, load_profiles()) == expected


def test_a_profile_without_patterns_is_only_chosen_by_name(elsewhere: Path) -> None:
    assert load_profile("android-arm64").hardware.board_patterns == ()
