"""Whether B is faster than A, slower, the same, or cannot be told apart.

Two questions with one answer. Is there a difference: Mann-Whitney over the launches' medians, since
iterations of one process are no independent measurements. How large is it: a bootstrap interval of
the ratio of medians. An interval within the threshold is called the same however certain its
sign, for nobody ships by it; a difference is called only when both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgewright.row import Measured, Row
from edgewright_agent.protocol import Environment, RunResult

from .ranks import mann_whitney
from .stats import Nanoseconds, bootstrap_medians
from .verdict import steady_state, verdict

Answer = Literal["faster", "slower", "same", "cannot tell"]

THRESHOLD = 0.05
#: Both the test and the interval leave so much to chance.
ERROR = 0.01
#: The fewest launches a side with which the test can reach that: 2 of the 252 orders of five and five.
LAUNCHES_NEEDED = 5
#: Rows that started further apart than this, in degrees Celsius, started under different conditions.
START_TEMPERATURE = 10.0
_RESAMPLES = 10_000
_UNFIT = ("throttled", "undervolted", "fell back")


@dataclass(frozen=True)
class Comparison:
    """What B is to A. ``ratio`` is B's median over A's, within ``low`` to ``high`` with 99 % confidence."""

    answer: Answer
    ratio: float
    low: float
    high: float
    p_value: float
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Incomparable:
    """The two were measured under different conditions, or one was not measured: each reason a sentence."""

    reasons: tuple[str, ...]


def compare_rows(a: Row, b: Row, *, threshold: float = THRESHOLD) -> Comparison | Incomparable:
    """Compare two rows, unless their conditions differ.

    What is being compared may differ: the file, the recipe, the runtime. What must not: the device,
    its power mode, governor and temperature at the start, the number of threads, and, within one
    runtime, version and provider.
    """
    reasons = tuple(_obstacles(a, b))
    if reasons or not isinstance(a.outcome, Measured) or not isinstance(b.outcome, Measured):
        return Incomparable(reasons)
    return compare_samples(
        steady_state(a.outcome.launches), steady_state(b.outcome.launches), threshold=threshold
    )


def compare_samples(
    a: Sequence[Nanoseconds], b: Sequence[Nanoseconds], *, threshold: float = THRESHOLD, seed: int = 0
) -> Comparison:
    """Compare steady-state samples, one array a launch.

    Args:
        a, b: nanoseconds, at least one non-empty launch each.
        threshold: relative difference up to which two are the same.
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
    fewest = min(len(a), len(b))
    answer: Answer = "cannot tell"
    if fewest > 1 and 1 / (1 + threshold) <= low and high <= 1 + threshold:
        answer = "same"
    elif p_value <= ERROR and low > 1:
        answer = "slower"
    elif p_value <= ERROR and high < 1:
        answer = "faster"
    if answer == "cannot tell" and fewest < LAUNCHES_NEEDED:
        evidence.append(
            f"a difference takes {LAUNCHES_NEEDED} launches of each to be told, there are {fewest}"
        )
    return Comparison(answer, ratio, low, high, p_value, tuple(evidence))


def _medians(launches: Sequence[Nanoseconds]) -> list[float]:
    return [float(np.median(launch)) for launch in launches]


def _obstacles(a: Row, b: Row) -> Iterator[str]:
    for name, row in (("A", a), ("B", b)):
        found = verdict(row)
        if found is None:
            yield f"{name} was not measured: {getattr(row.outcome, 'reason', '')}"
        elif found.status in _UNFIT:
            yield f"{name} is {found.status}: {found.evidence[0]}"
    if not isinstance(a.outcome, Measured) or not isinstance(b.outcome, Measured):
        return
    for name, outcome in (("A", a.outcome), ("B", b.outcome)):
        if not steady_state(outcome.launches):
            yield f"{name} was not timed"
    sides = (a.outcome, b.outcome)
    yield from _differ(
        "device", [f"{s.device.board or s.device.cpu_model} ({s.device.machine})" for s in sides]
    )
    yield from _differ("threads", [_all(s, lambda launch: str(launch.session.threads)) for s in sides])
    yield from _differ("power mode", [_all(s, lambda launch: _first(launch).power_mode) for s in sides])
    yield from _differ(
        "governor",
        [_all(s, lambda launch: "/".join(sorted(set(_first(launch).governor.values())))) for s in sides],
    )
    if a.cell.runtime == b.cell.runtime:
        yield from _differ("runtime version", [_all(s, lambda launch: launch.session.version) for s in sides])
        yield from _differ(
            "provider", [_all(s, lambda launch: ", ".join(launch.session.providers)) for s in sides]
        )
    heat = [_start_celsius(side) for side in sides]
    if heat[0] is not None and heat[1] is not None and abs(heat[0] - heat[1]) > START_TEMPERATURE:
        yield f"A started at {heat[0]:.0f} °C, B at {heat[1]:.0f} °C"


def _differ(what: str, values: Sequence[str]) -> Iterator[str]:
    if values[0] != values[1]:
        yield f"{what} differs: {values[0] or 'not told'} for A, {values[1] or 'not told'} for B"


def _all(outcome: Measured, read: Callable[[RunResult], str]) -> str:
    """What the launches say, once when they agree."""
    return " and ".join(sorted({read(launch) for launch in outcome.launches}))


def _first(launch: RunResult) -> Environment:
    return min(launch.environment, key=lambda state: state.t_ns, default=Environment(t_ns=0))


def _start_celsius(outcome: Measured) -> float | None:
    """The hottest sensor before the first launch."""
    found = _first(outcome.launches[0]).temperature_mc.values()
    return max(found) / 1000 if found else None
