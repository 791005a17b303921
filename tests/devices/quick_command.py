"""The ``edgewright`` command in this process, with presets that take no time and folders of its own."""

from __future__ import annotations

import dataclasses
import functools
import sys
import tempfile
from pathlib import Path

import pytest
from tests.devices.command_line import Answer

from edgewright.cli.main import main
from edgewright.device import Device
from edgewright.farm.effort import EFFORTS, Effort
from edgewright_agent import protocol as wire
from edgewright_agent.probe import probe


class QuickCommand:
    """Runs commands in ``folder``; after each, nothing may be left running or lying about."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capture = capture
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HOME", str(folder / "home"))
        monkeypatch.setenv("EDGEWRIGHT_STORE", str(folder / "store.sqlite"))
        monkeypatch.setattr(tempfile, "tempdir", str(self._temporary))
        monkeypatch.setenv("TMPDIR", str(self._temporary))
        monkeypatch.setattr(Device, "probe", lambda device: _this_machine())
        for name in ("EDGEWRIGHT_FARM", "EDGEWRIGHT_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        scenario = Effort.scenario
        monkeypatch.setattr(
            Effort, "scenario", lambda effort: dataclasses.replace(scenario(effort), warmup_duration_ns=0)
        )
        for name, effort in EFFORTS.items():
            brief = dataclasses.replace(
                effort, launches=1, min_count=3, min_duration_s=0.01, idle_s=0.01, energy_s=0.01, repeats=0
            )
            monkeypatch.setitem(EFFORTS, name, brief)

    def __call__(self, *words: str) -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["edgewright", *words])
        self._capture.readouterr()
        others = _children()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capture.readouterr()
        assert _children() <= others
        assert [entry.name for entry in self._temporary.iterdir()] == []
        assert "Traceback" not in captured.out + captured.err
        assert isinstance(ended.value.code, int)
        return Answer(ended.value.code, captured.out, captured.err)

    def refusal(self, code: int, *words: str) -> str:
        """The one line of a command that fails with ``code``."""
        answer = self(*words)
        lines = answer.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), answer
        assert (answer.code, answer.out) == (code, ""), answer
        return lines[0].removeprefix("error: ")


@functools.cache
def _this_machine() -> wire.Device:
    """It is the same from test to test, so that it is asked once, as the agent is when it is a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")
        return probe()


def _children() -> set[str]:
    """What this process started and has not seen end."""
    while True:
        tasks = Path("/proc/self/task").iterdir()
        try:
            return {pid for task in tasks for pid in (task / "children").read_text().split()}
        except FileNotFoundError:
            continue  # a thread ended meanwhile, and its children are another's now
