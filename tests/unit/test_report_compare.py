"""Comparison: alike is never called different, different is told, unlike conditions are refused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from tests.fakes import device, environment, latencies, launch, measured, row

from edgewright.report.compare import Answer, Comparison, Incomparable, compare_rows, compare_samples
from edgewright.report.ranks import mann_whitney
from edgewright.report.stats import Nanoseconds
from edgewright.row import Failed, Row
from edgewright_agent.protocol import RunResult


def launches(
    ms: float, seed: int, *, count: int = 5, between: float = 0.005, within: float = 0.03
) -> list[Nanoseconds]:
    """Launches whose medians scatter by ``between`` and whose samples scatter by ``within``."""
    rng = np.random.default_rng(seed)
    return [
        (1e6 * ms * np.exp(rng.normal(0, between)) * np.exp(rng.normal(0, within, 200))).astype(np.int64)
        for _ in range(count)
    ]


def test_the_test_is_exact() -> None:
    assert mann_whitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx(2 / 252)
    assert mann_whitney([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert mann_whitney([1, 1, 1], [1, 1, 1]) == 1.0
    assert mann_whitney([1.0], [2.0]) == 1.0
    with pytest.raises(ValueError, match="at least one"):
        mann_whitney([], [1])


def test_the_test_counts_ties_as_a_plain_enumeration_does() -> None:
    values = [1, 2, 2, 3, 5, 5, 5, 8]
    ranks = [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]
    expected = 4 * 9 / 2
    observed = abs(sum(ranks[:4]) - expected)
    sums = [abs(sum(chosen) - expected) for chosen in itertools.combinations(ranks, 4)]
    assert mann_whitney(values[:4], values[4:]) == pytest.approx(np.mean([s >= observed for s in sums]))


def test_the_test_is_normal_for_many() -> None:
    rng = np.random.default_rng(0)
    small = [mann_whitney(list(rng.normal(0, 1, 30)), list(rng.normal(0, 1, 31))) for _ in range(200)]
    assert 0.02 <= np.mean([p <= 0.05 for p in small]) <= 0.10
    assert mann_whitney([0.0] * 40, [0.0] * 40) == 1.0


@pytest.mark.parametrize("between", [0.005, 0.03, 0.08])
def test_alike_is_hardly_ever_called_different(between: float) -> None:
    answers = [
        compare_samples(launches(4, 2 * s, between=between), launches(4, 2 * s + 1, between=between)).answer
        for s in range(120)
    ]
    assert sum(answer in ("slower", "faster") for answer in answers) <= 3
    if between == 0.005:
        assert answers.count("same") >= 110


@pytest.mark.parametrize(("factor", "answer"), [(1.05, "slower"), (1 / 1.05, "faster"), (1.5, "slower")])
def test_a_difference_is_told_the_right_way_round(factor: float, answer: Answer) -> None:
    answers = [compare_samples(launches(4, 2 * s), launches(4 * factor, 2 * s + 1)).answer for s in range(40)]
    assert set(answers) <= {answer, "same", "cannot tell"}
    assert answers.count(answer) >= 34


def test_a_difference_within_the_threshold_is_the_same() -> None:
    found = compare_samples(launches(4, 1), launches(4.08, 2))
    assert found.answer == "same" and found.low < found.ratio < found.high
    assert compare_samples(launches(4, 1), launches(4.08, 2), threshold=0.01).answer == "slower"


def test_too_few_launches_cannot_tell_and_say_so() -> None:
    found = compare_samples(launches(4, 1, count=3), launches(8, 2, count=3))
    assert found.answer == "cannot tell"
    assert found.evidence[-1] == "a difference takes 5 launches of each to be told, there are 3"
    assert compare_samples(launches(4, 1, count=1), launches(4, 2, count=1)).answer == "cannot tell"


def five(ms: float, **changes: object) -> Row:
    runs = [replace(launch(latencies(ms, 300, seed=s), duration_ns=3 * 10**9), **changes) for s in range(5)]  # type: ignore[arg-type]
    return row(measured(*runs))


def test_rows_are_compared() -> None:
    found = compare_rows(five(4.0), five(4.8))
    assert isinstance(found, Comparison) and found.answer == "slower"
    assert found.ratio == pytest.approx(1.2, rel=0.01)


def _session(**changes: object) -> RunResult:
    one = launch()
    return replace(one, session=replace(one.session, **changes))  # type: ignore[arg-type]


def _states(**changes: object) -> Row:
    """A row whose device was in another state before, and as usual after."""
    return row(measured(launch(states=[environment(0, **changes), environment(9)])))


THROTTLED = row(measured(launch(states=[environment(0), environment(9, throttled={"now:throttled": 1})])))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (row(Failed("it broke", "agent-fault")), "B was not measured: it broke"),
        (row(measured(_session(version="1.24.0"))), "runtime version differs: 1.23.2 for A, 1.24.0 for B"),
        (row(measured(_session(threads=4))), "threads differs: 1 for A, 4 for B"),
        (
            row(measured(board=device(board="Pi 4"))),
            "device differs: Raspberry Pi 5 Model B Rev 1.0 (aarch64) for A",
        ),
        (_states(power_mode="15W"), "power mode differs: not told for A, 15W for B"),
        (_states(governor={"cpu0": "ondemand"}), "governor differs: performance for A, ondemand for B"),
        (_states(temperature_mc={"cpu": 70_000}), "A started at 48 °C, B at 70 °C"),
        (THROTTLED, "B is throttled: throttled held"),
        (row(measured(replace(launch(), timing=None))), "B was not timed"),
    ],
)
def test_unlike_conditions_are_refused_with_the_reason(other: Row, reason: str) -> None:
    found = compare_rows(row(), other)
    assert isinstance(found, Incomparable)
    assert any(reason in sentence for sentence in found.reasons), found.reasons


def test_providers_are_compared_within_one_runtime_alone() -> None:
    xnnpack = ("XNNPACK",)
    other = replace(row(measured(launch(providers=xnnpack))), providers=xnnpack)
    assert isinstance(compare_rows(row(), other), Incomparable)
    elsewhere = replace(other, cell=replace(other.cell, runtime="ai-edge-litert"))
    assert isinstance(compare_rows(row(), elsewhere), Comparison)
