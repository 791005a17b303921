"""``edgewright profiles``, through the real entry point."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgewright.cli.main import main
from edgewright.profiles import profile_names, shipped_folder


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["edgewright", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_list_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "profiles", "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(profile_names())
    pi = next(row for row in rows if row["name"] == "raspberry-pi-5")
    assert (pi["arch"], pi["cores"], pi["power_sensors"]) == ("aarch64", 4, ["rpi-pmic"])
    assert pi["runtimes"]["ai-edge-litert"] == ["XNNPACK", "CPU"]


@pytest.mark.parametrize("columns", [44, 80, 200])
def test_the_table_keeps_names_whole_in_any_width(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(monkeypatch, "profiles", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert {line.split()[0] for line in lines if not line.startswith(" ")} == {"name", *profile_names()}


def test_show_tells_the_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "profiles", "show", "raspberry-pi-4") == 0
    out = capsys.readouterr().out
    assert "4 x Arm Cortex-A72 at 1800 MHz" in out
    assert "no current sensor that software can read" in out
    assert "https://datasheets.raspberrypi.com/rpi4/raspberry-pi-4-product-brief.pdf\n" in out
    assert out.endswith(f"file            {shipped_folder() / 'raspberry-pi-4.toml'}\n")


def test_show_says_what_is_not_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "profiles", "show", "x86-64-linux") == 0
    out = capsys.readouterr().out
    assert "cores           differ from machine to machine" in out
    assert "slows down      not known" in out
    assert "weights in 7 bits" in out


def test_show_as_json_has_the_file_s_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "profiles", "show", "jetson-orin-nano", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["hardware"]["thermal"]["throttle_celsius"] == 99.0
    assert shown["numeric"]["int8"] == {
        "activation": "int8",
        "weight": "int8",
        "per_channel": True,
        "reduce_range": False,
    }


def test_an_unknown_name_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "profiles", "show", "jetson-orin-nan") == 2
    assert capsys.readouterr().err == (
        "error: unknown profile 'jetson-orin-nan' (did you mean 'jetson-orin-nano'?)\n"
    )


def test_check_tells_all_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = shipped_folder() / "raspberry-pi-5.toml"
    wrong = tmp_path / "my-board.toml"
    text = right.read_text(encoding="utf-8")
    wrong.write_text(text.replace("ram_bytes", "ram_byts").replace("rpi-pmic", "pmic"), encoding="utf-8")
    assert run(monkeypatch, "profiles", "check", str(right), str(wrong), str(tmp_path / "absent.toml")) == 2
    seen = capsys.readouterr()
    assert seen.out == f"{right}: right\n"
    assert seen.err.splitlines() == [
        f"{wrong}: unknown key 'hardware.ram_byts' (did you mean 'ram_bytes'?)",
        f"{wrong}: power.sensors.0: Input should be 'rapl', 'rpi-pmic', 'jetson-ina3221', 'power-supply', "
        "'android-battery' or 'ina2xx', got 'pmic' (did you mean 'rpi-pmic'?)",
        f"{tmp_path / 'absent.toml'}: no such file",
    ]


def test_check_of_all_shipped_profiles_is_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(map(str, shipped_folder().glob("*.toml")))
    assert run(monkeypatch, "profiles", "check", *files) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(files)


def test_check_of_nothing_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "profiles", "check") == 2
    assert "FILES" in capsys.readouterr().err
