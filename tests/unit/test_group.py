"""Cells that are compared are measured in turn, and again when they did not come out valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests import fakes

from edgewright.artifact import Artifact
from edgewright.device import Device
from edgewright.errors import TransportError
from edgewright.farm import group
from edgewright.farm.effort import load_effort
from edgewright.farm.execute import Ready, Task
from edgewright.farm.job import Bench, Settings
from edgewright.farm.subject import Subject
from edgewright.profiles import load_profile
from edgewright.row import Cell, Failed, Measured, Row
from edgewright.store.rowcodec import row_from_json, row_to_json
from edgewright_agent.protocol import RunResult

STEADY = fakes.latencies(4.2)
EFFORT = replace(load_effort("rapid"), launches=3, repeats=1)
SLOW = tuple(2 * sample for sample in STEADY)


class Silent:
    """A watcher that only counts."""

    def __init__(self) -> None:
        self.expected = 0
        self.ended = 0

    def expect(self, steps: int) -> None:
        self.expected += steps

    def begin(self, cell: Cell, what: str) -> None:
        """Nothing to show."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Nothing to show."""

    def done(self) -> None:
        self.ended += 1

    def row(self, row: Row) -> None:
        """Nothing to show."""


class Played:
    """Plays launches by cell in the order given and notes in which order they were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, script: Mapping[str, list[Any]]) -> None:
        self.asked: list[str] = []
        self._script = {name: list(parts) for name, parts in script.items()}
        monkeypatch.setattr(group, "prepare", self._prepare)
        monkeypatch.setattr(group, "launch_once", self._launch)
        self.watcher = Silent()
        bench = Bench(cast(Device, None), load_profile("x86-64-linux"), fakes.device())
        tasks = [Task(cast(Subject, None), None, self._cell(name)) for name in script]
        ended = group.run_group(tasks, bench, Settings(EFFORT), self.watcher)
        self.rows = [one.row for one in ended]

    @staticmethod
    def _cell(name: str) -> Cell:
        return Cell("net", name, "local", "x86-64-linux", "onnxruntime")

    @staticmethod
    def _prepare(task: Task, bench: Bench, settings: Settings) -> Ready:
        artifact = Artifact(Path("model.onnx"), "onnx", "0" * 64, 1)
        return Ready(task.subject, task.cell, artifact, "2026-01-01T00:00:00+00:00")

    def _launch(self, ready: Ready, *_: Any, **__: Any) -> tuple[RunResult, None]:
        self.asked.append(ready.cell.recipe)
        part = self._script[ready.cell.recipe].pop(0)
        if isinstance(part, Exception):
            raise part
        return fakes.launch(part), None


def test_launches_go_round(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, {"a": [STEADY] * 3, "b": [STEADY] * 3})
    assert played.asked == ["a", "b"] * 3
    assert [len(cast(Measured, row.outcome).launches) for row in played.rows] == [3, 3]
    assert played.watcher.ended == played.watcher.expected + 2  # and two builds, expected by the session


def test_a_noisy_row_is_measured_again_and_the_first_measurement_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = Played(monkeypatch, {"a": [STEADY] * 3, "b": [STEADY, SLOW, STEADY, STEADY, STEADY, STEADY]})
    assert played.asked == ["a", "b"] * 3 + ["b"] * 3
    quiet, noisy = played.rows
    assert (quiet.earlier, quiet.notes) == ((), ())
    assert noisy.notes == ("measured again: the first time it was noisy",)
    assert len(noisy.earlier) == 1 and len(noisy.earlier[0].launches) == 3
    assert row_from_json(row_to_json(noisy)) == noisy


def test_a_row_that_stays_noisy_is_reported_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, {"a": [STEADY, SLOW, STEADY] * 2})
    (row,) = played.rows
    assert len(played.asked) == 6 and len(row.earlier) == 1
    assert isinstance(row.outcome, Measured)


def test_a_cell_that_fails_drops_out_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, {"a": [STEADY, TransportError("pi", "gone")], "b": [STEADY] * 3})
    assert played.asked == ["a", "b", "a", "b", "b"]
    failed, measured = played.rows
    assert (
        isinstance(failed.outcome, Failed) and failed.outcome.code == "transport" and failed.outcome.retryable
    )
    assert isinstance(measured.outcome, Measured)
    assert played.watcher.ended == played.watcher.expected + 2
