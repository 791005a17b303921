"""Comparison: alike is never called different, different is told, unlike conditions are refused."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest
from tests.fakes import device, environment, latencies, launch, measured, row, stored

from edgewright.report.assemble import report_document
from edgewright.report.compare import (
    LAUNCHES_NEEDED,
    Comparison,
    Incomparable,
    compare_rows,
    compare_samples,
)
from edgewright.report.conditions import FACTS, Specimen, specimens
from edgewright.report.decision import Answer
from edgewright.report.ranks import mann_whitney
from edgewright.report.stats import Nanoseconds
from edgewright.row import ArtifactInfo, Cell, Failed, Row
from edgewright_agent.protocol import KernelRun, RunResult, Samples


def launches(
    ms: float, seed: int, *, count: int = 5, between: float = 0.005, within: float = 0.03
) -> list[Nanoseconds]:
    """Launches whose medians scatter by ``between`` and whose samples scatter by ``within``."""
    rng = np.random.default_rng(seed)
    return [
        (1e6 * ms * np.exp(rng.normal(0, between)) * np.exp(rng.normal(0, within, 200))).astype(np.int64)
        for _ in range(count)
    ]


def compare(a: Row, b: Row, across: Collection[str] = ()) -> Comparison | Incomparable:
    first, second = (specimen(one) for one in (a, b))
    return compare_rows(first, second, across=across)


def specimen(one: Row) -> Specimen:
    return specimens(report_document(stored(one)))[0]


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
    assert sum(answer in ("slower", "faster") for answer in answers) <= 2
    if between == 0.005:
        assert answers.count("same") >= 118


@pytest.mark.parametrize(("factor", "answer"), [(1.05, "slower"), (1 / 1.05, "faster"), (1.5, "slower")])
def test_a_difference_is_told_the_right_way_round(factor: float, answer: Answer) -> None:
    answers = [compare_samples(launches(4, 2 * s), launches(4 * factor, 2 * s + 1)).answer for s in range(40)]
    assert set(answers) <= {answer, "cannot tell"}
    assert answers.count(answer) >= 38


def test_less_than_half_the_threshold_is_the_same() -> None:
    a, b = launches(4, 1, between=0.002), launches(4.08, 2, between=0.002)
    found = compare_samples(a, b)
    assert found.answer == "same" and found.bounds.low < found.ratio < found.bounds.high
    assert compare_samples(a, b, threshold=0.01).answer == "slower"


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("factor", [1, 2])
def test_too_few_launches_cannot_tell_and_say_so(count: int, factor: int) -> None:
    found = compare_samples(launches(4, 1, count=count), launches(4 * factor, 2))
    assert found.answer == "cannot tell"
    assert found.evidence[-1] == f"an answer takes {LAUNCHES_NEEDED} launches of each, there are {count}"


def five(ms: float, cell: Cell | None = None, **changes: object) -> Row:
    runs = [replace(launch(latencies(ms, 300, seed=s), duration_ns=3 * 10**9), **changes) for s in range(5)]  # type: ignore[arg-type]
    return row(measured(*runs)) if cell is None else row(measured(*runs), cell=cell)


def test_rows_are_compared() -> None:
    found = compare(five(4.0), five(4.8))
    assert isinstance(found, Comparison) and found.answer == "slower"
    assert found.ratio == pytest.approx(1.2, rel=0.01)


def test_a_doubtful_row_is_compared_and_told() -> None:
    found = compare(five(4.0), replace(five(4.8), preset="quick", outcome=five(4.8, timing=None).outcome))
    assert isinstance(found, Incomparable)
    wandering = row(
        measured(*(launch(latencies(ms, 300), duration_ns=3 * 10**9) for ms in (4, 4.1, 4.2, 4.3, 4.4)))
    )
    noisy = compare(five(4.0), wandering)
    assert isinstance(noisy, Comparison) and noisy.answer == "cannot tell"
    assert noisy.evidence[-1].startswith("B is noisy: launch medians, 4 to 4.4 ms")


def _session(**changes: object) -> Row:
    one = launch()
    return row(measured(replace(one, session=replace(one.session, **changes))))  # type: ignore[arg-type]


def _states(**changes: object) -> Row:
    """A row whose device was in another state before, and as usual after."""
    return row(measured(launch(states=[environment(0, **changes), environment(9)])))


def _kernel(ms: float) -> Row:
    run = KernelRun(Samples([int(ms * 1e6)] * 3), Samples([int(ms * 1e6)] * 3))
    return row(measured(replace(launch(), kernel_before=run, kernel_after=run)))


CELL = row().cell
THROTTLED = row(measured(launch(states=[environment(0), environment(9, throttled={"now:throttled": 1})])))


@pytest.mark.parametrize(
    ("fact", "other", "reason"),
    [
        ("outcome", row(Failed("it broke", "agent-fault")), "B was not measured: it broke"),
        ("timing", row(measured(replace(launch(), timing=None))), "B was not timed"),
        ("verdict", THROTTLED, "B is throttled: throttled held"),
        ("device", row(cell=replace(CELL, device="pi4")), "device differs: pi5 for A, pi4 for B"),
        (
            "board",
            row(measured(board=device(board="Pi 4"))),
            "board differs: Raspberry Pi 5 Model B Rev 1.0 (aarch64) for A, Pi 4 (aarch64) for B",
        ),
        ("processors", row(measured(board=device(cpu_count=2))), "processors differs: 4 for A, 2 for B"),
        ("scenario", replace(row(), scenario="paced"), "scenario differs: single-stream for A, paced for B"),
        ("preset", row(preset="rapid"), "preset differs: quick for A, rapid for B"),
        (
            "format",
            row(artifact=ArtifactInfo("cd" * 32, 9, "tflite")),
            "format differs: onnx for A, tflite for B",
        ),
        (
            "runtime",
            row(cell=replace(CELL, runtime="ai-edge-litert")),
            "runtime differs: onnxruntime for A, ai-edge-litert for B",
        ),
        (
            "runtime version",
            _session(version="1.24.0"),
            "runtime version differs: 1.23.2 for A, 1.24.0 for B",
        ),
        (
            "provider",
            replace(_session(providers=("XnnpackExecutionProvider",)), providers=()),
            "provider differs: CPUExecutionProvider for A, XnnpackExecutionProvider for B",
        ),
        ("threads", _session(threads=4), "threads differs: 1 for A, 4 for B"),
        ("power mode", _states(power_mode="15W"), "power mode differs: not told for A, 15W for B"),
        (
            "governor",
            _states(governor={"cpu0": "ondemand"}),
            "governor differs: performance for A, ondemand for B",
        ),
        (
            "start temperature",
            _states(temperature_mc={"cpu": 70_000}),
            "start temperature differs: 48 °C for A, 70 °C for B",
        ),
        (
            "device speed",
            _kernel(2.4),
            "the reference kernel took 2 ms with A and 2.4 ms with B, so the device itself was slower with B",
        ),
    ],
)
def test_unlike_conditions_are_refused_by_name(fact: str, other: Row, reason: str) -> None:
    base = _kernel(2.0) if fact == "device speed" else row()
    found = compare(base, other)
    assert isinstance(found, Incomparable)
    assert [one.fact for one in found.obstacles] == [fact]
    assert reason in found.obstacles[0].sentence
    if fact in FACTS:
        assert isinstance(compare(base, other, across=[fact]), Comparison)
    else:
        assert isinstance(compare(base, other, across=FACTS), Incomparable)


def test_small_differences_of_conditions_are_none() -> None:
    assert isinstance(compare(_kernel(2.0), _kernel(2.1)), Comparison)
    assert isinstance(compare(row(), _states(temperature_mc={"cpu": 56_000})), Comparison)
    assert isinstance(compare(_kernel(2.0), row()), Comparison)


def test_another_runtime_s_version_and_format_are_no_obstacles_of_their_own() -> None:
    one = launch(providers=("XNNPACK",))
    other = row(
        measured(replace(one, session=replace(one.session, runtime="ai-edge-litert", version="2.1"))),
        cell=replace(CELL, runtime="ai-edge-litert"),
        artifact=ArtifactInfo("cd" * 32, 9, "tflite"),
    )
    found = compare(row(), replace(other, providers=()))
    assert isinstance(found, Incomparable) and [o.fact for o in found.obstacles] == ["runtime"]


def test_every_launch_counts() -> None:
    mixed: list[RunResult] = [launch(), replace(launch(), session=replace(launch().session, threads=2))]
    found = compare(row(), row(measured(*mixed)))
    assert isinstance(found, Incomparable)
    assert found.obstacles[0].sentence == "threads differs: 1 for A, 1 and 2 for B"
