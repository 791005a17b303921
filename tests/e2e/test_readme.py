"""The README's quick start, run as written, but for how long it measures."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.devices.command_line import TEST_CACHE, brief_main

ROOT = Path(__file__).resolve().parents[2]


def quick_start() -> list[str]:
    """The commands a reader types, without those that set up the environment the tests run in."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Quick start.*?```console\n(.*?)```", text, re.DOTALL)
    assert block
    return [line.removeprefix("$ ") for line in block[1].splitlines() if line.startswith("$ edgewright ")]


@pytest.mark.timeout(600)
def test_the_quick_start_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.setenv("HOME", str(tmp_path))  # whatever else this user measures is not in the way
    monkeypatch.setenv("EDGEWRIGHT_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(TEST_CACHE))
    program = tmp_path / "bin/edgewright"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{brief_main(0.2, count=64)}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    commands = quick_start()
    assert len(commands) == 4
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for name in ("report.html", "report.json", "report.md"):
        assert (tmp_path / name).stat().st_size > 1000
