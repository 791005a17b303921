"""What is asked for when a workload is pruned to a latency, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.artifact import Artifact
from edgewright.compress.importance import Measure
from edgewright.latency.layers import Network
from edgewright.latency.target import Target
from edgewright.latency.ways import WAYS, Way
from edgewright.recipe import Recipe
from edgewright.workloads import WorkloadSource

from .race import Race


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        importance: the measure of channels; None for ``taylor`` where the workload can train, else ``l2``.
        launches: of each network that is measured on the way.
        ways: in which the time may be shared out among layers; without training only the first is taken.
        name: of the recipe that comes of it.
    """

    source: WorkloadSource
    target: Target
    runtime: str
    cache: Path
    importance: Measure | None = None
    round_to: int = 8
    fine_tune: bool = True
    launches: int = 6
    ways: tuple[Way, ...] = tuple(WAYS)
    name: str = "to-latency"


@dataclass(frozen=True)
class Round:
    """A network that was measured on the way: what its layers were thought to make of it, and what it
    took.
    """

    counts: Mapping[str, int]
    predicted_ns: float | None
    measured_ns: float
    error: float


@dataclass(frozen=True)
class Candidate:
    """A network that one way led to.

    Attributes:
        error: how far it was from the target.
        held_back_loss: on samples that were held back from a short training; None when nothing was to choose.
    """

    way: Way
    counts: Mapping[str, int]
    error: float
    held_back_loss: float | None = None


@dataclass(frozen=True)
class TimedLayer:
    """A layer before and after: its channels in and out, and its share in the whole's latency in
    nanoseconds.
    """

    name: str
    before: tuple[int, int]
    after: tuple[int, int]
    before_ns: float | None
    after_ns: float | None


@dataclass(frozen=True)
class Found:
    """What came of it.

    Attributes:
        artifact: the pruned file, trained where that was asked for and possible.
        race: the last measurement, of that file.
        error: how far its latency is from the target, as a share of it; above 0 it is slower.
        candidates: what was chosen from, the chosen one first.
        rest_ns: what the network takes beside the layers that were timed; None when the table does not tell.
        timed: how many layers' times were taken now, and how many the table has.
    """

    recipe: Recipe
    artifact: Artifact
    runtime: str
    importance: Measure
    target_ns: float
    race: Race
    error: float
    network: Network
    counts: Mapping[str, int]
    candidates: tuple[Candidate, ...]
    layers: tuple[TimedLayer, ...]
    rest_ns: float | None
    rounds: tuple[Round, ...]
    timed: tuple[int, int]
