"""Whether B is faster than A, slower, the same, or cannot be told apart.

Two questions with one answer. Is there a difference: Mann-Whitney over the launches' medians, since
iterations of one process are no independent measurements. How large is it: a bootstrap interval of
the ratio of medians, which the rule of :mod:`.decision` turns into an answer; a difference is called
only when both agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from . import document as doc
from .conditions import Obstacle, Specimen, obstacles
from .decision import THRESHOLD, Answer, Bounds, decide
from .ranks import mann_whitney
from .stats import Nanoseconds, bootstrap_medians

#: Both the test and the interval leave so much to chance.
ERROR = 0.01
#: The fewest launches a side with which the test can reach that, 2 of the 252 orders of five and five, and
#: with which the interval holds what it promises: over three launches each it misses in 5 % of all cases.
LAUNCHES_NEEDED = 5
_RESAMPLES = 10_000
#: Verdicts that do not forbid a comparison but are to be known when one is read.
_REMARKABLE = ("too short", "perturbed", "noisy")


@dataclass(frozen=True)
class Comparison:
    """What B is to A. ``ratio`` is B's median over A's, within ``bounds`` with 99 % confidence."""

    answer: Answer
    ratio: float
    bounds: Bounds
    p_value: float
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Incomparable:
    """The two were measured under different conditions, or one was not measured."""

    obstacles: tuple[Obstacle, ...]


def compare_rows(
    a: Specimen, b: Specimen, *, threshold: float = THRESHOLD, across: Collection[str] = ()
) -> Comparison | Incomparable:
    """Compare two rows, unless their conditions differ.

    Workload, recipe and file may differ, for it is them that are compared. What must not:
    :data:`~edgewright.report.conditions.FACTS`, but for those in ``across``.
    """
    found = obstacles(a, b, across)
    if found:
        return Incomparable(tuple(found))
    comparison = compare_samples(_samples(a.row), _samples(b.row), threshold=threshold)
    remarks = (*_remarks("A", a.row), *_remarks("B", b.row))
    return Comparison(
        comparison.answer,
        comparison.ratio,
        comparison.bounds,
        comparison.p_value,
        (*comparison.evidence, *remarks),
    )


def compare_samples(
    a: Sequence[Nanoseconds], b: Sequence[Nanoseconds], *, threshold: float = THRESHOLD, seed: int = 0
) -> Comparison:
    """Compare steady-state samples, one array a launch.

    Args:
        a: nanoseconds, at least one non-empty launch.
        b: the same of the other.
        threshold: relative difference that must be told, see :mod:`.decision`.
        seed: of the bootstrap, so that the same samples give the same interval.
    """
    rng = np.random.default_rng(seed)
    medians_a, medians_b = _medians(a), _medians(b)
    ratio = float(np.median(medians_b) / np.median(medians_a))
    replicates = bootstrap_medians(b, rng, _RESAMPLES) / bootstrap_medians(a, rng, _RESAMPLES)
    low, high = (float(q) for q in np.quantile(replicates, (ERROR / 2, 1 - ERROR / 2)))
    p_value = mann_whitney(medians_a, medians_b)
    evidence = [
        f"B takes {ratio:.3f} times as long as A ({1 - ERROR:.0%} interval {low:.3f} to {high:.3f})",
        f"Mann-Whitney over {len(a)} and {len(b)} launches: p = {p_value:.2g}",
    ]
    bounds, fewest = Bounds(low, high), min(len(a), len(b))
    answer = decide(bounds, threshold)
    if fewest < LAUNCHES_NEEDED:
        answer = "cannot tell"
        evidence.append(f"an answer takes {LAUNCHES_NEEDED} launches of each, there are {fewest}")
    elif answer in ("slower", "faster") and p_value > ERROR:
        answer = "cannot tell"
    return Comparison(answer, ratio, bounds, p_value, tuple(evidence))


def _samples(row: doc.Row) -> list[Nanoseconds]:
    return [np.asarray(launch.latency_ns, np.int64) for launch in row.launches if launch.latency_ns]


def _medians(launches: Sequence[Nanoseconds]) -> list[float]:
    return [float(np.median(launch)) for launch in launches]


def _remarks(name: str, row: doc.Row) -> Iterator[str]:
    if row.verdict and row.verdict.status in _REMARKABLE:
        yield f"{name} is {row.verdict.status}: {' '.join(row.verdict.evidence[:1])}"
