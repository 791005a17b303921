"""The scenarios' loops in virtual time: every start, wait and latency is known exactly."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from edgewright_agent.failure import AgentFailure
from edgewright_agent.protocol import Pace, Samples, Scenario, Starts
from edgewright_agent.scenarios import dated
from edgewright_agent.scenarios.multi_stream import together
from edgewright_agent.scenarios.stage import MONOTONIC, Clock

MS = 1_000_000
BASE = Scenario(
    kind="paced", min_count=1, min_duration_ns=0, max_duration_ns=10**15, warmup_count=0, warmup_duration_ns=0
)


class World:
    """Time that passes only when somebody sleeps or infers."""

    def __init__(self, *service_ms: float, late_ms: float = 0.0) -> None:
        self.now_ns = 7_000 * MS
        self.service = [int(s * MS) for s in service_ms]
        self.late_ns = int(late_ms * MS)
        self.calls = 0
        self.slept_ns = 0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now_ns, self.sleep)

    def sleep(self, seconds: float) -> None:
        asked = round(seconds * 1e9)
        assert asked > 0
        self.slept_ns += asked
        self.now_ns += asked + self.late_ns

    def invoke(self) -> None:
        self.now_ns += self.service[self.calls % len(self.service)]
        self.calls += 1


def starts_ms(starts: Starts, latency: Samples) -> list[float]:
    at, found = 0, []
    for gap, took in zip(starts.gap_ns, latency, strict=True):
        found.append((at + gap) / MS)
        at += gap + took
    return found


def at_rate(world: World, pace: Pace, scenario: Scenario) -> dated.Course:
    return dated.at_rate(world.invoke, scenario, pace, world.clock)


def test_arrivals_keep_their_schedule() -> None:
    world = World(3)
    course = at_rate(world, Pace(10 * MS, 10 * MS), replace(BASE, min_count=5))
    assert starts_ms(course.starts, course.latency_ns) == [0, 10, 20, 30, 40]
    assert list(course.latency_ns) == [3 * MS] * 5
    assert course.starts.begin_ns == 7_010 * MS and course.duration_ns == 43 * MS
    assert not course.ended and not course.capped


def test_late_wake_ups_do_not_shift_the_schedule() -> None:
    world = World(3, late_ms=0.5)
    course = at_rate(world, Pace(10 * MS, 10 * MS), replace(BASE, min_count=4))
    assert starts_ms(course.starts, course.latency_ns) == [0.5, 10.5, 20.5, 30.5]


def test_a_slow_inference_makes_those_behind_it_wait_and_the_queue_drains() -> None:
    world = World(3, 24, 3, 3, 3, 3, 3, 3)
    course = at_rate(world, Pace(10 * MS, 10 * MS), replace(BASE, min_count=6))
    assert starts_ms(course.starts, course.latency_ns) == [0, 10, 34, 37, 40, 50]


def test_it_sleeps_between_arrivals_and_never_spins() -> None:
    world = World(3)
    reads = 0

    def now() -> int:
        nonlocal reads
        reads += 1
        return world.now_ns

    dated.at_rate(world.invoke, replace(BASE, min_count=10), Pace(10 * MS, MS), Clock(now, world.sleep))
    assert world.slept_ns == 10 * MS + 9 * 7 * MS
    assert reads <= 5 * 10 + 1


def test_a_model_that_cannot_keep_up_is_stopped_at_the_bound() -> None:
    world = World(15)
    pace = Pace(10 * MS, 10 * MS, max_waiting=16, max_delay_ns=200 * MS)
    course = at_rate(world, pace, replace(BASE, min_count=10_000))
    assert course.ended == dated.QUEUE
    count = len(course.latency_ns)
    assert count == 40  # 40 x 15 ms are 600 ms; the next was due at 400 ms: it has waited for 200 ms
    both = replace(pace, max_waiting=100)
    assert len(at_rate(World(15), both, replace(BASE, min_count=10_000)).latency_ns) == 200


def test_both_minima_hold_and_either_maximum_ends() -> None:
    pace = Pace(10 * MS, 10 * MS)
    by_time = replace(BASE, min_count=2, min_duration_ns=95 * MS)
    assert len(at_rate(World(3), pace, by_time).latency_ns) == 11
    by_count = replace(BASE, min_count=20, min_duration_ns=95 * MS)
    assert len(at_rate(World(3), pace, by_count).latency_ns) == 20
    brief = replace(by_count, max_duration_ns=33 * MS)
    assert len(at_rate(World(3), pace, brief).latency_ns) == 4
    capped = at_rate(World(3), pace, replace(by_count, max_count=3))
    assert len(capped.latency_ns) == 3 and capped.capped


def test_back_to_back_keeps_gaps_and_latencies() -> None:
    world = World(1, 2, 3)
    course = dated.back_to_back(world.invoke, replace(BASE, min_count=6), world.clock)
    assert starts_ms(course.starts, course.latency_ns) == [0, 1, 3, 6, 7, 9]
    assert course.duration_ns == 12 * MS


def test_the_energy_pass_takes_whole_periods() -> None:
    world = World(3)
    step = dated.paced(world.invoke, Pace(10 * MS, 10 * MS), world.clock)
    begin = world.now_ns
    for _ in range(5):
        step()
    assert world.now_ns - begin == 50 * MS and world.calls == 5


def test_the_collector_is_off_only_meanwhile() -> None:
    import gc

    seen = []
    world = World(1)

    def invoke() -> None:
        seen.append(gc.isenabled())
        world.invoke()

    assert gc.isenabled()
    dated.back_to_back(invoke, replace(BASE, min_count=2), world.clock)
    assert seen == [False, False] and gc.isenabled()


def test_streams_end_together_once_each_has_its_minima() -> None:
    slow_done = threading.Event()

    def slow() -> None:
        slow_done.wait(0.02)

    def fast() -> None:
        slow_done.wait(0.001)

    scenario = replace(BASE, min_count=5, min_duration_ns=0)
    first, second = together([slow, fast], scenario, MONOTONIC)
    assert len(first.latency_ns) == 5
    assert len(second.latency_ns) > 20  # it went on until the slow one had its five
    ends = [course.starts.begin_ns + course.duration_ns for course in (first, second)]
    assert abs(ends[0] - ends[1]) < 50 * MS


def test_a_stream_that_fails_ends_the_others() -> None:
    def fail() -> None:
        raise AgentFailure("model-rejected", "no")

    with pytest.raises(AgentFailure, match="no"):
        together([fail, lambda: threading.Event().wait(0.001)], replace(BASE, min_count=10**9), MONOTONIC)


def test_a_stream_at_its_maximum_ends_all() -> None:
    scenario = replace(BASE, min_count=10**6, max_count=7)
    both = together([lambda: threading.Event().wait(0.001)] * 2, scenario, MONOTONIC)
    assert max(len(course.latency_ns) for course in both) == 7
