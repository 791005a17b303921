"""The energy pass and who watches it."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from tests.devices.meters import STEADY, printer

from edgewright_agent.energy_pass import BARKER_7, energy_pass
from edgewright_agent.energy_watch import EnergyWatch
from edgewright_agent.protocol import EnergyPlan, Meter, MeterFormat, Window

MS = 1_000_000
METER = Meter("command", "board", MeterFormat(power="1"), printer(STEADY))


def inference() -> None:
    time.sleep(0.001)


def test_without_markers_it_is_idle_work_idle() -> None:
    phases: list[str] = []
    windows = energy_pass(inference, EnergyPlan((), 5 * MS, 20 * MS), phases.append, inference)
    assert phases == ["idle-before", "active", "idle-after", "energy-done"]
    assert [window.name for window in windows] == phases[:3]
    assert windows[1].count > 1 and windows[0].count == windows[2].count == 0
    assert energy_pass(inference, None, phases.append, inference) == ()


def test_markers_are_barker_s_code_at_both_ends_and_told_as_they_were() -> None:
    plan = EnergyPlan((), 30 * MS, 20 * MS, external=True, marker_ns=10 * MS, settle_ns=15 * MS)
    windows = energy_pass(inference, plan, lambda name: None, inference)
    names = [
        "marker-before",
        "marker-before",
        "idle-before",
        "active",
        "idle-after",
        "marker-after",
        "marker-after",
    ]
    assert [window.name for window in windows] == ["settle-before", *names, "settle-after"]
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(windows))
    first, second = windows[1:3]
    units = [first.end_ns - first.start_ns, second.start_ns - first.end_ns, second.end_ns - second.start_ns]
    for measured, expected in zip(units, BARKER_7, strict=False):
        assert measured >= expected * 10 * MS
    assert first.count > second.count >= 1


def test_the_pattern_resembles_no_shifted_copy_of_itself() -> None:
    code = [sign for sign, units in zip((1, -1, 1, -1), BARKER_7, strict=True) for _ in range(units)]
    assert len(code) == 7
    sides = [sum(a * b for a, b in zip(code, code[shift:], strict=False)) for shift in range(1, 7)]
    assert max(map(abs, sides)) == 1


def phase(name: str) -> dict[str, Any]:
    return {"event": "phase", "name": name}


def test_a_meter_is_read_from_the_markers_on() -> None:
    events: list[Any] = []
    with EnergyWatch(EnergyPlan(meter=METER), events.append) as watch:
        assert watch.is_wanted
        for name in ("load", "measure", "markers"):
            watch.on_event(phase(name))
        assert watch._recorder is not None
        watch._recorder.wait(20)
        for name in ("idle-before", "energy-done"):
            watch.on_event(phase(name))
        found = watch.energy((Window("active", 0, 1, 1),))
    assert [event["name"] for event in events] == ["load", "measure", "markers", "idle-before", "energy-done"]
    assert found.trace is None and found.windows and found.reason
    assert found.recording is not None and set(found.recording.values_mw) == {3250}


def test_a_worker_that_ends_early_takes_the_meter_along() -> None:
    with pytest.raises(KeyError), EnergyWatch(EnergyPlan(meter=METER), lambda event: None) as watch:
        watch.on_event(phase("markers"))
        assert watch._recorder is not None
        recorder = watch._recorder
        recorder.wait(20)
        raise KeyError
    assert not recorder._thread.is_alive()


def test_a_pass_that_never_came_says_so() -> None:
    with EnergyWatch(EnergyPlan(meter=METER), lambda event: None) as watch:
        found = watch.energy(())
    assert found.reason == "the worker ended before its energy pass" and found.recording is None


def test_who_watches() -> None:
    assert not EnergyWatch(None, print).is_wanted
    assert EnergyWatch(None, print).energy(()).reason == "energy was not asked for"
    outside = EnergyWatch(EnergyPlan(external=True), print)
    windows = (Window("active", 0, 1, 1),)
    assert outside.is_wanted and outside.energy(windows).windows == windows
    nobody = EnergyWatch(EnergyPlan(("no-such-sensor",)), print)
    assert not nobody.is_wanted and "no power sensor has this name" in nobody.energy(()).reason
