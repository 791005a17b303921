"""Several sessions at once: copies of the job's model, and other models beside it.

Each has a thread of its own in one process, as in an application that runs two models. The runtimes release
Python's lock while they infer, so the threads run side by side (docs/scenarios.md says how that was checked).
"""

import threading
from array import array
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..failure import AgentFailure
from ..protocol import Samples, Scenario, ScenarioRun, StreamRun
from ..runtimes import Session
from .companion import open_companion
from .dated import Course, Recorder, undisturbed
from .stage import MONOTONIC, Clock, Invoke, Played, Stage, reference, warm_up


@dataclass(frozen=True)
class _Stream:
    """A loaded and fed session. ``model`` tells which ones run the same file."""

    name: str
    session: Session
    model: str
    is_other: bool


def play(stage: Stage, clock: Clock = MONOTONIC) -> Played:
    """Each model alone first, then all at once until every stream has its minima.

    Raises:
        AgentFailure: ``protocol`` for fewer than two streams in all.
    """
    streams = _streams(stage)
    if len(streams) < 2:
        raise AgentFailure("protocol", "the scenario multi-stream needs at least two streams")
    scenario = stage.scenario
    warmup = [warm_up(stream.session.invoke, scenario) for stream in streams]
    alone: Dict[str, Samples] = {}
    for stream in streams:
        if stream.model not in alone:
            alone[stream.model] = reference(stream.session.invoke, scenario)
    courses = together([stream.session.invoke for stream in streams], scenario, clock)
    runs = tuple(
        StreamRun(
            stream.name,
            stream.session.info().runtime,
            stream.session.info().providers,
            alone[stream.model],
            course.starts,
            course.latency_ns,
            stream.is_other,
        )
        for stream, course in zip(streams, courses)
    )
    own = [course for stream, course in zip(streams, courses) if not stream.is_other]
    begin = min(course.starts.begin_ns for course in courses)
    end = max(course.starts.begin_ns + course.duration_ns for course in courses)
    capped = any(course.capped for course in courses)
    run = ScenarioRun("multi-stream", streams=runs)
    return Played(warmup[0], _in_order(own), end - begin, capped, run)


def _streams(stage: Stage) -> List[_Stream]:
    """The job's session, its copies, and the companions."""
    own = stage.job.model.files[0].name
    streams = [_Stream(f"{own} #1", stage.session, "own", False)]
    for number in range(2, stage.scenario.streams + 1):
        copy = stage.fresh()
        copy.bind(stage.inputs)
        copy.invoke()
        streams.append(_Stream(f"{own} #{number}", copy, "own", False))
    for number, companion in enumerate(stage.job.companions):
        name = companion.model.files[0].name
        streams.append(_Stream(name, open_companion(stage, number, companion), str(number), True))
    return streams


class _Finish:
    """Ends all streams together, once each has its minima."""

    def __init__(self, streams: int) -> None:
        self._lock = threading.Lock()
        self._pending = streams
        self.is_over = False
        self.failure: Optional[AgentFailure] = None

    def satisfied(self) -> None:
        """One more stream has its minima; it goes on, so that the rest does not run with less company."""
        with self._lock:
            self._pending -= 1
            self.is_over = self.is_over or not self._pending

    def end(self, failure: Optional[AgentFailure] = None) -> None:
        """Now."""
        with self._lock:
            self.failure = self.failure or failure
            self.is_over = True


def together(invokes: Sequence[Invoke], scenario: Scenario, clock: Clock) -> Tuple[Course, ...]:
    """Drive every one of ``invokes`` back to back, each in its own thread, all beginning and ending together.

    Raises:
        AgentFailure: of the first inference that failed; the other streams are ended.
    """
    finish, gate = _Finish(len(invokes)), threading.Barrier(len(invokes))
    courses: Dict[int, Course] = {}

    def drive(number: int, invoke: Invoke) -> None:
        gate.wait()
        try:
            courses[number] = _one(invoke, scenario, clock, finish)
        except AgentFailure as failure:
            finish.end(failure)
        finally:
            finish.end()

    threads = [
        threading.Thread(target=drive, args=pair, name=f"stream-{pair[0] + 1}") for pair in enumerate(invokes)
    ]
    with undisturbed():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if finish.failure:
        raise finish.failure
    return tuple(courses[number] for number in range(len(invokes)))


def _one(invoke: Invoke, scenario: Scenario, clock: Clock, finish: _Finish) -> Course:
    now = clock.now
    recorder = Recorder(now())
    earliest = recorder.begin_ns + scenario.min_duration_ns
    latest = recorder.begin_ns + scenario.max_duration_ns
    has_minima = False
    while True:
        start = now()
        invoke()
        end = now()
        recorder.add(start, end)
        if not has_minima and recorder.count >= scenario.min_count and end >= earliest:
            has_minima = True
            finish.satisfied()
        if end >= latest or recorder.count >= scenario.max_count:
            finish.end()
        if finish.is_over:
            return recorder.course(capped=recorder.count >= scenario.max_count)


def _in_order(courses: Sequence[Course]) -> Samples:
    """The latencies of several streams in the order in which their inferences ended."""
    ends, latencies = [], []
    for course in courses:
        gaps = np.asarray(course.starts.gap_ns, dtype=np.int64)
        latency = np.asarray(course.latency_ns, dtype=np.int64)
        ends.append(course.starts.begin_ns + np.cumsum(gaps + latency))
        latencies.append(latency)
    order = np.argsort(np.concatenate(ends), kind="stable")
    merged = np.ascontiguousarray(np.concatenate(latencies)[order], dtype=np.int64)
    return Samples(array("q", merged.tobytes()))
