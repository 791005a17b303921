"""The device's state during the timed phase: when it is read, what that cost, and how it ends."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from edgewright_agent.protocol import Environment
from edgewright_agent.sensors import state_watch
from edgewright_agent.sensors.state_watch import StateWatch

SECOND = 1_000_000_000


class World:
    """Virtual time; a reading takes ``wall_ns`` and costs ``cpu_ns``."""

    def __init__(self, until_s: float, wall_ns: int = 0, cpu_ns: int = 0) -> None:
        self.now_ns = 0
        self.spent_ns = 0
        self.until_ns = int(until_s * SECOND)
        self.wall_ns, self.cpu_ns = wall_ns, cpu_ns

    def read(self) -> Environment:
        state = Environment(self.now_ns)
        self.now_ns += self.wall_ns
        self.spent_ns += self.cpu_ns
        return state

    def pause(self, seconds: float) -> bool:
        self.now_ns += round(seconds * SECOND)
        return self.now_ns >= self.until_ns

    def watch(self, period_ns: int = SECOND) -> StateWatch:
        return StateWatch(period_ns, self.read, lambda: self.now_ns, lambda: self.spent_ns, self.pause)


def phase(name: str) -> dict[str, str]:
    return {"event": "phase", "name": name}


def run(watch: StateWatch) -> None:
    with watch:
        for name in ("load", "measure", "idle-before", "measure"):
            watch.on_event(phase(name))


def test_the_first_reading_comes_after_half_a_period() -> None:
    watch = World(3.6, wall_ns=2_000_000, cpu_ns=1_000_000).watch()
    run(watch)
    states, cost = watch.result()
    assert [state.t_ns / SECOND for state in states] == [0.5, 1.5, 2.5, 3.5]
    assert list(cost.t_ns) == [state.t_ns for state in states]
    assert list(cost.wall_ns) == [2_000_000] * 4 and list(cost.cpu_ns) == [1_000_000] * 4
    assert cost.reason == "" and cost.period_ns == SECOND


def test_dear_readings_are_made_more_seldom() -> None:
    watch = World(100, cpu_ns=50_000_000).watch()
    run(watch)
    states, cost = watch.result()
    assert [b.t_ns - a.t_ns for a, b in pairwise(states)] == [5 * SECOND] * 19
    assert sum(cost.cpu_ns) / (100 * SECOND) <= state_watch.MAX_SHARE


def test_no_more_readings_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_watch, "MAX_READINGS", 3)
    watch = World(100).watch()
    run(watch)
    states, cost = watch.result()
    assert len(states) == 3 and cost.reason == "more than 3 readings"


def test_nothing_is_read_without_a_period_or_outside_the_phase() -> None:
    for watch, names in ((World(9).watch(0), ("measure",)), (World(9).watch(), ("load", "evaluate"))):
        with watch:
            for name in names:
                watch.on_event(phase(name))
        assert watch.result()[0] == ()


def test_a_reading_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_watch, "_JOIN_S", 0.05)
    free = threading.Event()

    def hang() -> Environment:
        free.wait(30)
        return Environment(0)

    watch = StateWatch(1_000, hang)
    with watch:
        watch.on_event(phase("measure"))
        threading.Event().wait(0.05)
    states, cost = watch.result()
    free.set()
    assert states == () and "and goes on" in cost.reason


def test_the_real_reading_costs_little() -> None:
    watch = StateWatch(100_000_000)
    with watch:
        watch.on_event(phase("measure"))
        threading.Event().wait(0.5)
    states, cost = watch.result()
    assert states and len(states) == len(cost.cpu_ns)
    assert all(cpu >= 0 for cpu in cost.cpu_ns)
