"""What is known of a setting on a device: of its file, and of its measurement."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic.dataclasses import dataclass as schema

from edgewright.artifact import Quality
from edgewright.config import STRICT

Objective = Literal["latency", "energy", "size", "memory"]
OBJECTIVES: tuple[Objective, ...] = ("latency", "energy", "size", "memory")
#: Objective -> the unit of its figure.
UNITS: dict[str, str] = {"latency": "ms", "energy": "mJ", "size": "MB", "memory": "MB"}
MB = 1e6


@schema(frozen=True, config=STRICT)
class Built:
    """A setting's file, by what the host knows of it.

    Attributes:
        quality: the score of the file as executed on this host; None for a workload that cannot be judged.
        shape: what the time of a file depends on besides its weights, see :mod:`.features`.
    """

    sha256: str
    size_bytes: int
    format: str
    quality: Quality | None
    shape: dict[str, float]

    @property
    def loss(self) -> float | None:
        """How much worse than the uncompressed model, in the quality's unit; None when not judged."""
        return None if self.quality is None else loss_of(self.quality)


def loss_of(quality: Quality) -> float:
    """How much worse than its baseline; negative when better."""
    gain = quality.value - quality.baseline
    return -gain if quality.higher_is_better else gain


@dataclass(frozen=True)
class Interval:
    """A figure and where it lies; without more knowledge it lies where it is."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figures:
    """A measurement on a device.

    Attributes:
        latency: the median in milliseconds and its interval.
        energy: gross millijoules per inference; None with ``no_energy``, the reason.
        memory_bytes: peak of the process; None when not observed.
        loss: by the score on the device, where that was asked for; else as in :class:`Built`.
        status: the verdict.
    """

    latency: Interval
    size_bytes: int
    status: str
    evidence: str = ""
    energy: Interval | None = None
    no_energy: str = ""
    memory_bytes: int | None = None
    loss: float | None = None

    def cost(self, objective: Objective) -> Interval | None:
        """The figure of an objective in its unit; None when it was not measured."""
        match objective:
            case "latency":
                return self.latency
            case "energy":
                return self.energy
            case "size":
                return exact(self.size_bytes / MB)
            case "memory":
                return None if self.memory_bytes is None else exact(self.memory_bytes / MB)


def exact(value: float) -> Interval:
    """A figure that is known."""
    return Interval(value, value, value)


def shown(value: float, objective: str) -> str:
    """A figure of an objective as people read it."""
    from edgewright.report.units import millijoules, milliseconds, size

    by_name: dict[str, Callable[[float], str]] = {
        "latency": milliseconds,
        "energy": millijoules,
        "size": lambda mb: size(round(mb * MB)),
        "memory": lambda mb: size(round(mb * MB)),
    }
    return by_name[objective](value) if math.isfinite(value) else "unknown"
