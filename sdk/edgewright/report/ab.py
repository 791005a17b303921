"""What ``edgewright ab`` found, as data: described in ``docs/compare.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from edgewright import __version__
from edgewright.artifact import Artifact
from edgewright_agent.protocol import Device, Environment
from edgewright_agent.protocol_pair import PairLaunch, PairSide

from .contract import Contract
from .decision import Answer
from .paired import ERROR, LOOK_ERROR, LOOKS, Finding, LaunchRatio
from .text import clean
from .watch import watch

SCHEMA: Literal["edgewright.ab/1"] = "edgewright.ab/1"


class Side(Contract):
    """One of the two: the file, what executed it, and the median of all its inferences in milliseconds."""

    model: str
    recipe: str | None
    sha256: str
    size_bytes: int
    format: str
    runtime: str
    runtime_version: str | None
    providers: list[str]
    threads: int | None
    median_ms: float | None


class Launch(Contract):
    """One fresh process: B's time over A's, the medians, and the raw samples block by block.

    ``order`` is one letter a block, ``counts`` how many inferences it held, ``latency_ns`` all of them.
    """

    loaded_first: str
    ratio: float
    a_median_ms: float
    b_median_ms: float
    order: str
    counts: list[int]
    latency_ns: list[int]


class AbDocument(Contract):
    """``verdict`` says what B is to A. ``ratio`` is B's time over A's, within ``interval``.

    Both are null where nothing was measured, and ``interval`` alone where launches were too few; ``reason``
    says why the verdict is "cannot tell", and is null otherwise.
    """

    schema_: Literal["edgewright.ab/1"] = Field(alias="schema")
    generator: str
    device: str
    board: str
    cpu_model: str
    verdict: Answer
    ratio: float | None
    interval: tuple[float, float] | None
    confidence: float
    threshold: float
    reason: str | None
    evidence: list[str]
    a: Side
    b: Side
    budget_s: float
    elapsed_s: float
    launches: list[Launch]


@dataclass(frozen=True)
class Contender:
    """One of the two, before anything is known of how it ran."""

    label: str
    recipe: str | None
    runtime: str
    artifact: Artifact


@dataclass(frozen=True)
class Measured:
    """What was seen: the launches with their ratios, the last look, and the device's states.

    ``error`` is what ended it before its time, empty when nothing did.
    """

    launches: Sequence[PairLaunch]
    ratios: Sequence[LaunchRatio]
    finding: Finding | None
    environment: Sequence[Environment]
    elapsed_s: float
    error: str = ""


@dataclass(frozen=True)
class Terms:
    """The threshold, the budget in seconds, and where it ran."""

    threshold: float
    budget_s: float
    device: str
    facts: Device


def ab_document(a: Contender, b: Contender, seen: Measured, terms: Terms) -> AbDocument:
    """Put together what was found."""
    finding = seen.finding
    bounds = finding.bounds if finding else None
    answer: Answer = finding.answer if finding and not seen.error else "cannot tell"
    reason = _reason(seen, terms) if answer == "cannot tell" else None
    sides = [
        _side(one, [getattr(launch, name) for launch in seen.launches], _samples(seen.launches, name))
        for name, one in (("a", a), ("b", b))
    ]
    return AbDocument(
        schema=SCHEMA,
        generator=f"edgewright {__version__}",
        device=clean(terms.device),
        board=clean(terms.facts.board),
        cpu_model=clean(terms.facts.cpu_model),
        verdict=answer,
        ratio=round(finding.ratio, 6) if finding else None,
        interval=(round(bounds.low, 6), round(bounds.high, 6)) if bounds else None,
        confidence=1 - ERROR,
        threshold=terms.threshold,
        reason=reason,
        evidence=[*_evidence(seen, sides), *_states(seen)],
        a=sides[0],
        b=sides[1],
        budget_s=terms.budget_s,
        elapsed_s=round(seen.elapsed_s, 3),
        launches=[_launch(*pair) for pair in zip(seen.launches, seen.ratios, strict=True)],
    )


def _reason(seen: Measured, terms: Terms) -> str:
    count = len(seen.launches)
    if seen.error:
        return clean(seen.error)
    if count < LOOKS[0]:
        each = f", one takes {seen.elapsed_s / count:.1f} s" if count else ""
        return f"{count} launches in the budget of {terms.budget_s:g} s, {LOOKS[0]} are needed{each}"
    assert seen.finding and seen.finding.bounds
    low, high = seen.finding.bounds.low, seen.finding.bounds.high
    ended = "the last look" if count >= LOOKS[-1] else f"the budget of {terms.budget_s:g} s"
    return (
        f"after {count} launches, at {ended}, B may take {low:.3f} to {high:.3f} times as long as A: "
        f"too wide for a threshold of {terms.threshold:.1%}"
    )


def _evidence(seen: Measured, sides: Sequence[Side]) -> list[str]:
    found = []
    if seen.finding and seen.finding.bounds:
        bounds = seen.finding.bounds
        found.append(
            f"B takes {seen.finding.ratio:.4f} times as long as A, {bounds.low:.4f} to {bounds.high:.4f} "
            f"with {1 - ERROR:.0%} confidence over all looks ({1 - LOOK_ERROR:.1%} at this one)"
        )
    if seen.ratios:
        each = [one.ratio for one in seen.ratios]
        found.append(
            f"{len(each)} launches, each in fresh processes; "
            f"their ratios lie between {min(each):.4f} and {max(each):.4f}"
        )
    if (sides[0].runtime, sides[0].runtime_version) != (sides[1].runtime, sides[1].runtime_version):
        found.append(f"A ran in {_runtime(sides[0])}, B in {_runtime(sides[1])}")
    elif sides[0].providers != sides[1].providers:
        found.append(f"A ran on {', '.join(sides[0].providers)}, B on {', '.join(sides[1].providers)}")
    return found


def _states(seen: Measured) -> list[str]:
    """What the device's sensors blame. It fell on both alike, so it does not forbid the comparison."""
    if len(seen.environment) < 2:
        return []
    found = watch([seen], slowed=[False], is_busy=False)
    return [clean(finding.sentence) for finding in found if finding.status]


def _runtime(side: Side) -> str:
    return f"{side.runtime} {side.runtime_version or ''}".strip()


def _samples(launches: Sequence[PairLaunch], name: str) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """All inferences of one side."""
    found = []
    for launch in launches:
        turns = np.repeat(np.asarray(list(launch.order)), np.asarray(launch.counts))
        found.append(np.asarray(launch.latency_ns, dtype=np.int64)[turns == name.upper()])
    return found


def _side(
    one: Contender, ran: Sequence[PairSide], samples: Sequence[np.ndarray[Any, np.dtype[np.int64]]]
) -> Side:
    session = ran[0].session if ran else None
    return Side(
        model=clean(one.label),
        recipe=one.recipe,
        sha256=one.artifact.sha256,
        size_bytes=one.artifact.size_bytes,
        format=one.artifact.format,
        runtime=clean(session.runtime if session else one.runtime),
        runtime_version=clean(session.version) if session else None,
        providers=[clean(name) for name in session.providers] if session else [],
        threads=session.threads if session else None,
        median_ms=float(np.median(np.concatenate(samples))) / 1e6 if samples else None,
    )


def _launch(launch: PairLaunch, ratio: LaunchRatio) -> Launch:
    return Launch(
        loaded_first=launch.loaded_first,
        ratio=round(ratio.ratio, 6),
        a_median_ms=ratio.a_ns / 1e6,
        b_median_ms=ratio.b_ns / 1e6,
        order=launch.order,
        counts=list(launch.counts),
        latency_ns=list(launch.latency_ns),
    )
