"""An unpruned model and a pruned one by turns on one device: how long each takes, and the one over the
other.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from edgewright.artifact import Artifact
from edgewright.device import Errand
from edgewright.errors import AgentFault, TransientDeviceError
from edgewright.report.paired import launch_ratio
from edgewright.report.signed_ranks import interval, middle
from edgewright.report.stats import Interval, Nanoseconds, median_interval
from edgewright_agent import protocol as wire
from edgewright_agent.protocol_pair import PairJob, PairLaunch, PairPlan

from .job import Bench, Settings, make_job

_NS = 1_000_000_000
#: Of the interval of the ratio.
CONFIDENCE = 0.95
#: The timed part of a launch; a slow model's may take longer.
_LAUNCH_NS, _LONGEST_NS = _NS // 2, 10 * _NS
_BUDGET_NS = 3600 * _NS


@dataclass(frozen=True)
class Side:
    """One of the two: the median of all inferences in nanoseconds, and where it lies."""

    median_ns: float
    interval: Interval


@dataclass(frozen=True)
class Race:
    """What came of it.

    Attributes:
        ratio: the pruned model's time over the unpruned one's, in the middle of the launches.
        bounds: where it lies with :data:`CONFIDENCE`; None when the launches are too few to tell.
    """

    full: Side
    pruned: Side
    ratio: float
    bounds: tuple[float, float] | None
    launches: int


def race(
    full: Artifact, pruned: Artifact, runtime: str, bench: Bench, settings: Settings, launches: int
) -> Race:
    """Let them take turns, launch after launch in fresh processes, so that a drift falls on both alike.

    Raises:
        DeviceError: a launch failed, or the device cannot be reached.
    """
    name = uuid.uuid4().hex
    job, files = make_job(full, runtime, bench, settings, name=name, evaluate=False)
    other, more = make_job(pruned, runtime, bench, settings, name=f"{name}-b", evaluate=False)
    companion = wire.Companion(other.model, other.execution, other.data)
    job = replace(job, job_id=name, scenario=None, energy=None, companions=(companion,))
    plan = PairPlan(launches, _BUDGET_NS, duration_ns=_LAUNCH_NS, longest_ns=_LONGEST_NS)
    result = bench.device.pair(PairJob(job, plan), {**files, **more}, errand=Errand("pruning to a latency"))
    with suppress(TransientDeviceError):  # a device that is gone keeps what is here already
        bench.device.acknowledge(name)
    if len(result.launches) < launches:
        target = bench.device.target.name
        raise AgentFault(target, f"{len(result.launches)} of {launches} launches ended within an hour")
    ratios = [math.log(launch_ratio(launch).ratio) for launch in result.launches]
    found = interval(ratios, 1 - CONFIDENCE)
    return Race(
        full=_side(result.launches, "A"),
        pruned=_side(result.launches, "B"),
        ratio=math.exp(middle(ratios)),
        bounds=None if found is None else (math.exp(found[0]), math.exp(found[1])),
        launches=len(result.launches),
    )


def _side(launches: Sequence[PairLaunch], turn: str) -> Side:
    """The median over launches of each one's median, whatever the number of inferences in it."""
    samples = [_samples(launch, turn) for launch in launches]
    return Side(float(np.median([np.median(one) for one in samples])), median_interval(samples))


def _samples(launch: PairLaunch, turn: str) -> Nanoseconds:
    turns = np.repeat(np.asarray(list(launch.order)), np.asarray(launch.counts))
    return np.asarray(np.asarray(launch.latency_ns, dtype=np.int64)[turns == turn], dtype=np.int64)
