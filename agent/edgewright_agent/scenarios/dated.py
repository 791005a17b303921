"""Loops that keep when each inference began: at a steady rate, or back to back."""

import ctypes
import gc
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator, Optional

from ..protocol import Pace, Samples, Scenario, Starts
from .stage import Clock, Invoke

_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30

#: Why a run at a steady rate was cut short.
QUEUE = "queue"


@dataclass(frozen=True)
class Course:
    """One loop: when inferences began, how long each took, and what ended it.

    ``ended`` is :data:`QUEUE` when the arrivals outran the model, ``capped`` when ``max_count`` ended it.
    """

    starts: Starts
    latency_ns: Samples
    duration_ns: int
    capped: bool = False
    ended: str = ""


class Recorder:
    """Keeps gaps and latencies, sixteen bytes an inference."""

    def __init__(self, begin_ns: int) -> None:
        self.begin_ns = begin_ns
        self.count = 0
        self._previous_ns = begin_ns
        self._gaps = array("q")
        self._latencies = array("q")

    def add(self, start_ns: int, end_ns: int) -> None:
        """One more inference."""
        self._gaps.append(start_ns - self._previous_ns)
        self._latencies.append(end_ns - start_ns)
        self._previous_ns = end_ns
        self.count += 1

    def course(self, *, capped: bool = False, ended: str = "") -> Course:
        """All of them."""
        return Course(
            Starts(self.begin_ns, Samples(self._gaps)),
            Samples(self._latencies),
            self._previous_ns - self.begin_ns,
            capped,
            ended,
        )


def back_to_back(invoke: Invoke, scenario: Scenario, clock: Clock) -> Course:
    """Each inference as soon as the one before it is done, until both minima hold or a maximum is reached."""
    now = clock.now
    with undisturbed():
        recorder = Recorder(now())
        earliest, latest = _bounds(recorder.begin_ns, scenario)
        while True:
            start = now()
            invoke()
            end = now()
            recorder.add(start, end)
            if _is_over(recorder.count, end, earliest, latest, scenario):
                break
    return recorder.course(capped=recorder.count >= scenario.max_count)


def at_rate(invoke: Invoke, scenario: Scenario, pace: Pace, clock: Clock) -> Course:
    """Serve arrivals in their order, one by one.

    Arrival ``i`` is due at ``begin + i * period`` whatever happened before: the schedule is absolute and does
    not drift, and an inference that is late makes those behind it wait. Between arrivals the thread sleeps
    and never spins, since a spinning core would stay at the clock and in the idle state that the gap is
    there to show.
    """
    now, sleep, period = clock.now, clock.sleep, pace.period_ns
    ended = ""
    with undisturbed(), fine_timer():
        recorder = Recorder(now() + period)
        begin = recorder.begin_ns
        earliest, latest = _bounds(begin, scenario)
        due = begin
        while True:
            left = due - now()
            while left > 0:
                sleep(left / 1e9)
                left = due - now()
            start = now()
            invoke()
            end = now()
            recorder.add(start, end)
            if _is_over(recorder.count, end, earliest, latest, scenario):
                break
            due = begin + recorder.count * period
            waited = end - due
            if waited >= pace.max_delay_ns and waited // period + 1 > pace.max_waiting:
                ended = QUEUE
                break
    return recorder.course(capped=recorder.count >= scenario.max_count, ended=ended)


def course_of(invoke: Invoke, scenario: Scenario, pace: Optional[Pace], clock: Clock) -> Course:
    """At the rate asked for, or back to back without one."""
    return at_rate(invoke, scenario, pace, clock) if pace else back_to_back(invoke, scenario, clock)


def paced(invoke: Invoke, pace: Pace, clock: Clock) -> Invoke:
    """``invoke`` and the wait for the next arrival, on a schedule that the first call begins."""
    due = array("q")

    def invoke_and_wait() -> None:
        if not due:
            due.append(clock.now())
        invoke()
        due[0] += pace.period_ns
        left = due[0] - clock.now()
        if left > 0:
            clock.sleep(left / 1e9)

    return invoke_and_wait


@contextmanager
def undisturbed() -> Iterator[None]:
    """The garbage collector off."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def fine_timer() -> Iterator[None]:
    """Have the kernel wake this thread when it asked, not up to 50 microseconds later (``prctl(2)``)."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    slack = prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)
    prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        yield
    finally:
        if slack > 0:
            prctl(_PR_SET_TIMERSLACK, slack, 0, 0, 0)


def _bounds(begin_ns: int, scenario: Scenario) -> "tuple[int, int]":
    return begin_ns + scenario.min_duration_ns, begin_ns + scenario.max_duration_ns


def _is_over(count: int, end: int, earliest: int, latest: int, scenario: Scenario) -> bool:
    return (count >= scenario.min_count and end >= earliest) or end >= latest or count >= scenario.max_count
