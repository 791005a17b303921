"""What ``edgewright compare`` found, as data: described in ``docs/compare.md``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from edgewright import __version__

from .compare import ERROR, Comparison, Incomparable, compare_rows
from .conditions import Specimen
from .contract import Contract
from .decision import Answer
from .matching import Matched

SCHEMA: Literal["edgewright.compare/1"] = "edgewright.compare/1"


class RowName(Contract):
    """Which row it was, and the median of its steady state in milliseconds."""

    workload: str
    recipe: str
    device: str
    runtime: str
    threads: int | None
    outcome: str
    reason: str | None
    verdict: str | None
    median_ms: float | None
    started_at: str


class Difference(Contract):
    """A fact that keeps two rows from being compared; ``a`` or ``b`` is null where it does not tell."""

    fact: str
    a: str | None
    b: str | None
    sentence: str


class PairResult(Contract):
    """``answer`` says what B is to A.

    ``ratio`` is B's median over A's, within ``interval``; both are null, with ``p_value``, for rows that are
    "incomparable", and ``differences`` says why they are.
    """

    a: RowName
    b: RowName
    answer: Answer | Literal["incomparable", "not applicable"]
    ratio: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    evidence: list[str]
    differences: list[Difference]


class CompareDocument(Contract):
    """All pairs, and the rows without a counterpart. ``verdict`` is the worst of the answers."""

    schema_: Literal["edgewright.compare/1"] = Field(alias="schema")
    generator: str
    a: str
    b: str
    verdict: Answer
    threshold: float
    confidence: float
    across: list[str]
    pairs: list[PairResult]
    only_a: list[RowName]
    only_b: list[RowName]


@dataclass(frozen=True)
class Question:
    """How the user named the two, the threshold, and the facts that may differ."""

    a: str
    b: str
    threshold: float
    across: Collection[str] = ()


def compare_document(matched: Matched, question: Question) -> CompareDocument:
    """Compare every pair."""
    pairs = [compare_pair(a, b, question) for a, b in matched.pairs]
    return CompareDocument(
        schema=SCHEMA,
        generator=f"edgewright {__version__}",
        a=question.a,
        b=question.b,
        verdict=_worst(pairs, gone=bool(matched.only_a)),
        threshold=question.threshold,
        confidence=1 - ERROR,
        across=sorted(question.across),
        pairs=pairs,
        only_a=[_name(one) for one in matched.only_a],
        only_b=[_name(one) for one in matched.only_b],
    )


def _worst(pairs: Sequence[PairResult], *, gone: bool) -> Answer:
    """Slower if any is; what cannot be told, and what is no longer there, is no "same"."""
    answers = {pair.answer for pair in pairs}
    if "slower" in answers:
        return "slower"
    if gone or answers & {"cannot tell", "incomparable"} or not answers - {"not applicable"}:
        return "cannot tell"
    return "same" if "same" in answers else "faster"


def compare_pair(a: Specimen, b: Specimen, question: Question) -> PairResult:
    """What B is to A, for two rows with their launches."""
    names = _name(a), _name(b)
    if a.row.outcome == b.row.outcome == "skipped":
        evidence = [f"neither can be: {a.row.reason}"]
        return _unanswered(*names, "not applicable", evidence, [])
    found = compare_rows(a, b, threshold=question.threshold, across=question.across)
    match found:
        case Incomparable(obstacles):
            sentences = [one.sentence for one in obstacles]
            differences = [Difference(**vars(one)) for one in obstacles]
            return _unanswered(*names, "incomparable", sentences, differences)
        case Comparison():
            return PairResult(
                a=names[0],
                b=names[1],
                answer=found.answer,
                ratio=round(found.ratio, 6),
                interval=(round(found.bounds.low, 6), round(found.bounds.high, 6)),
                p_value=found.p_value,
                evidence=list(found.evidence),
                differences=[],
            )


def _unanswered(
    a: RowName,
    b: RowName,
    answer: Literal["incomparable", "not applicable"],
    evidence: list[str],
    differences: list[Difference],
) -> PairResult:
    return PairResult(
        a=a,
        b=b,
        answer=answer,
        ratio=None,
        interval=None,
        p_value=None,
        evidence=evidence,
        differences=differences,
    )


def _name(one: Specimen) -> RowName:
    row = one.row
    return RowName(
        workload=row.workload,
        recipe=row.recipe,
        device=row.device,
        runtime=row.runtime,
        threads=row.threads,
        outcome=row.outcome,
        reason=row.reason,
        verdict=row.verdict.status if row.verdict else None,
        median_ms=row.latency_ms.p50 if row.latency_ms else None,
        started_at=row.started_at,
    )


def named(name: RowName) -> str:
    """``workload/recipe/device/runtime``, as a selector takes it."""
    return "/".join((name.workload, name.recipe, name.device, name.runtime))
