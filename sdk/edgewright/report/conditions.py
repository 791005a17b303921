"""Under which conditions a row was measured, and which of them keep two rows from being compared.

Two latencies differ for the model's sake alone when everything else was the same. What was not is refused
by its name, unless it is what shall be compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from . import document as doc

#: Rows that started further apart than this, in degrees Celsius, started under different conditions.
START_TEMPERATURE = 10.0
#: A reference kernel this much slower before one row than before the other tells of a slower device.
KERNEL = 0.10
#: Verdicts whose latencies are not those of the cell.
UNFIT = ("emulated", "throttled", "undervolted", "fell back")


@dataclass(frozen=True)
class Specimen:
    """A row, and the device it ran on where the document describes it."""

    row: doc.Row
    device: doc.DeviceFacts | None


@dataclass(frozen=True)
class Obstacle:
    """Why two rows cannot be compared: the fact that differs, or what is wrong with one, in a sentence."""

    fact: str
    a: str | None
    b: str | None
    sentence: str


def specimens(document: doc.ReportDocument) -> list[Specimen]:
    """Every row of a report with its device."""
    devices = {device.name: device for device in document.devices}
    return [Specimen(row, devices.get(row.device)) for row in document.rows]


def obstacles(a: Specimen, b: Specimen, across: Collection[str] = ()) -> list[Obstacle]:
    """What keeps them from being compared, nothing when they can be.

    Args:
        a: measured, as ``b``, or there is an obstacle that says so.
        b: see there.
        across: facts that may differ, for it is them that are compared; of :data:`FACTS`.
    """
    unfit = [*_unfit("A", a.row), *_unfit("B", b.row)]
    if a.row.outcome != "measured" or b.row.outcome != "measured":
        return unfit
    differing = [*_differing(a, b), *_start(a.row, b.row), *_speed(a.row, b.row)]
    return [*unfit, *(one for one in differing if one.fact not in across)]


def _unfit(name: str, row: doc.Row) -> Iterator[Obstacle]:
    if row.outcome != "measured":
        yield _of_one("outcome", name, f"{name} was not measured: {row.reason}", row.outcome)
    elif not any(launch.latency_ns for launch in row.launches):
        yield _of_one("timing", name, f"{name} was not timed", "none")
    elif row.verdict and row.verdict.status in UNFIT:
        evidence = row.verdict.evidence[:1]
        sentence = f"{name} is {row.verdict.status}: {' '.join(evidence)}"
        yield _of_one("verdict", name, sentence, row.verdict.status)


def _of_one(fact: str, name: str, sentence: str, value: str) -> Obstacle:
    return Obstacle(fact, value if name == "A" else None, value if name == "B" else None, sentence)


def _differing(a: Specimen, b: Specimen) -> Iterator[Obstacle]:
    for fact, read in _READ.items():
        told = read(a), read(b)
        if told[0] == told[1] or (fact in _OF_RUNTIME and a.row.runtime != b.row.runtime):
            continue
        shown = [value or "not told" for value in told]
        yield Obstacle(
            fact, told[0] or None, told[1] or None, f"{fact} differs: {shown[0]} for A, {shown[1]} for B"
        )


def _board(specimen: Specimen) -> str:
    device = specimen.device
    return f"{device.board or device.cpu_model} ({device.machine})" if device else ""


def _format(specimen: Specimen) -> str:
    return specimen.row.artifact.format if specimen.row.artifact else ""


def _scenario(specimen: Specimen) -> str:
    """Its kind, and for arrivals at a rate or several models at once what makes them comparable."""
    scenario = specimen.row.scenario
    if scenario is None:
        return ""
    paced, together = scenario.paced, scenario.multi_stream
    rate = f" at {paced.rate_hz:g} Hz, deadline {paced.deadline_ms:g} ms" if paced else ""
    streams = f" of {len(together.streams)}" if together else ""
    return f"{scenario.kind}{rate}{streams}"


def _of_launches(read: Callable[[doc.Launch], str]) -> Callable[[Specimen], str]:
    """What the launches say, once when they agree."""
    return lambda specimen: " and ".join(sorted({read(launch) for launch in specimen.row.launches}))


def _governors(launch: doc.Launch) -> str:
    return "/".join(sorted(set(launch.states[0].governor.values()))) if launch.states else ""


#: fact -> what a specimen says of it; empty where it does not tell.
_READ: dict[str, Callable[[Specimen], str]] = {
    "device": lambda one: one.row.device,
    "board": _board,
    "processors": lambda one: str(one.device.cpu_count) if one.device else "",
    "scenario": _scenario,
    "preset": lambda one: one.row.preset,
    "format": _format,
    "runtime": lambda one: one.row.runtime,
    "runtime version": lambda one: one.row.runtime_version or "",
    "provider": _of_launches(lambda launch: ", ".join(launch.providers)),
    "threads": _of_launches(lambda launch: str(launch.threads)),
    "power mode": _of_launches(lambda launch: launch.states[0].power_mode if launch.states else ""),
    "governor": _of_launches(_governors),
}


def told(specimen: Specimen, fact: str) -> str:
    """What a specimen says of a fact, empty where it does not tell; of :data:`FACTS` but for the last two."""
    return _READ[fact](specimen)


#: They differ whenever the runtime does.
_OF_RUNTIME = ("runtime version", "provider", "format")
#: All that may be named in ``across``.
FACTS = (*_READ, "start temperature", "device speed")


def _start(a: doc.Row, b: doc.Row) -> Iterator[Obstacle]:
    first, second = start_celsius(a), start_celsius(b)
    if first is None or second is None or abs(first - second) <= START_TEMPERATURE:
        return
    told = f"{first:.0f} °C", f"{second:.0f} °C"
    sentence = f"start temperature differs: {told[0]} for A, {told[1]} for B"
    yield Obstacle("start temperature", *told, sentence)


def start_celsius(row: doc.Row) -> float | None:
    """The hottest sensor before the first launch."""
    states = row.launches[0].states if row.launches else []
    return max(states[0].temperature_celsius.values(), default=None) if states else None


def _speed(a: doc.Row, b: doc.Row) -> Iterator[Obstacle]:
    """How long the reference kernel took: the same work on the same device takes the same time."""
    if a.device != b.device:
        return
    first, second = _kernel_ns(a.launches), _kernel_ns(b.launches)
    if first is None or second is None or max(first, second) <= (1 + KERNEL) * min(first, second):
        return
    told = f"{first / 1e6:.3g} ms", f"{second / 1e6:.3g} ms"
    slower = "A" if first > second else "B"
    sentence = (
        f"device speed differs: the reference kernel took {told[0]} with A and {told[1]} with B, "
        f"so the device itself was slower with {slower}"
    )
    yield Obstacle("device speed", *told, sentence)


def _kernel_ns(launches: Iterable[doc.Launch]) -> float | None:
    """The middle over the launches of the kernel's best step before each."""
    best = [launch.kernel_before_ns for launch in launches if launch.kernel_before_ns is not None]
    return statistics.median(best) if best else None
