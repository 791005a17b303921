"""The ways to drive a model and what each of them saw: part of :mod:`edgewright_agent.protocol`.

What they mean, and every formula derived from them, is in docs/scenarios.md.
"""

from dataclasses import dataclass, field
from typing import Optional, Tuple

from .codec import Samples

#: What :attr:`Scenario.kind` may be.
SCENARIOS: Tuple[str, ...] = ("single-stream", "paced", "sustained", "offline", "multi-stream")


@dataclass(frozen=True)
class Pace:
    """Arrivals every ``period_ns``, each to be done ``deadline_ns`` after it arrived.

    A model that is slower than its arrivals gets a queue without bound. So the run ends when more than
    ``max_waiting`` arrivals wait and the oldest of them has waited for ``max_delay_ns``.
    """

    period_ns: int
    deadline_ns: int
    max_waiting: int = 16
    max_delay_ns: int = 2_000_000_000


@dataclass(frozen=True)
class Scenario:
    """How long and how to time. Both minima hold; either maximum ends the loop.

    ``pace`` belongs to ``paced`` and may go with ``sustained``; ``batches`` are sizes of the first axis for
    ``offline``; ``streams`` is how many sessions of the model ``multi-stream`` opens. Every ``watch_ns`` the
    parent reads the device's state while the inferences are timed, not at all when 0.
    """

    kind: str = "single-stream"
    min_count: int = 64
    min_duration_ns: int = 6_000_000_000
    max_duration_ns: int = 60_000_000_000
    max_count: int = 1_000_000
    warmup_count: int = 5
    warmup_duration_ns: int = 500_000_000
    pace: Optional[Pace] = None
    batches: Tuple[int, ...] = ()
    streams: int = 1
    watch_ns: int = 0


@dataclass(frozen=True)
class Starts:
    """When inferences began, without loss and in few bytes.

    ``gap_ns`` is, for each inference, the time since the one before it ended, and for the first since
    ``begin_ns`` of the device's monotonic clock; so the sum of all gaps and latencies before an inference
    is its start. In a paced run ``begin_ns`` is the first arrival.
    """

    begin_ns: int
    gap_ns: Samples


@dataclass(frozen=True)
class PacedRun:
    """``starts`` belong to :attr:`Timing.latency_ns`, which are service times.

    ``before_ns`` and ``after_ns`` are back to back in the same process, right before and right after.
    ``ended`` says why the run was cut short; empty when it was not.
    """

    pace: Pace
    starts: Starts
    before_ns: Samples
    after_ns: Samples
    ended: str = ""


@dataclass(frozen=True)
class SustainedRun:
    """``starts`` belong to :attr:`Timing.latency_ns`; ``asked_ns`` is how long the run should have been."""

    asked_ns: int
    starts: Starts
    pace: Optional[Pace] = None
    ended: str = ""


@dataclass(frozen=True)
class BatchRun:
    """Back to back at one size of the first axis; or ``reason`` why not.

    ``latency_ns`` is of a whole batch, ``duration_ns`` of the loop around all of them.
    """

    batch: int
    latency_ns: Samples = field(default_factory=Samples)
    duration_ns: int = 0
    reason: str = ""


@dataclass(frozen=True)
class StreamRun:
    """One session that ran at the same time as others, in a thread of its own.

    ``alone_ns`` is the same model back to back with the others idle. ``is_other`` marks models beside the
    job's own.
    """

    name: str
    runtime: str
    providers: Tuple[str, ...]
    alone_ns: Samples
    starts: Starts
    latency_ns: Samples
    is_other: bool = False


@dataclass(frozen=True)
class ScenarioRun:
    """What the scenario of that kind saw beyond the latencies of :class:`Timing`."""

    kind: str
    paced: Optional[PacedRun] = None
    sustained: Optional[SustainedRun] = None
    batches: Tuple[BatchRun, ...] = ()
    streams: Tuple[StreamRun, ...] = ()


@dataclass(frozen=True)
class Watching:
    """What it cost to read the device's state during the timed phase.

    One entry a reading: ``t_ns`` when it began, ``wall_ns`` how long it took, ``cpu_ns`` the processor time
    it used in the parent and in commands it started. ``reason`` says why the readings ended early.
    """

    period_ns: int
    t_ns: Samples
    wall_ns: Samples
    cpu_ns: Samples
    reason: str = ""
