"""Statistics: few samples give no percentile, bounds hold, shapes are told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import latencies

from edgewright.report.binomial import samples_needed, spare_above
from edgewright.report.shape import density, modes
from edgewright.report.stats import bootstrap_medians, median_interval, percentile, summarize


@pytest.mark.parametrize(("percent", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_the_samples_a_percentile_needs_are_loadgens(percent: int, needed: int) -> None:
    assert samples_needed(percent) == needed
    over = 1 - percent / 100

    def at_most_one(count: int) -> float:
        return (1 - over) ** count + count * over * (1 - over) ** (count - 1)

    assert at_most_one(needed) <= 0.01 < at_most_one(needed - 1)


@pytest.mark.parametrize(("percent", "needed"), [(90, 64), (95, 130), (99, 662)])
def test_a_percentile_is_withheld_one_sample_short(percent: int, needed: int) -> None:
    short = percentile(np.arange(needed - 1, dtype=np.int64), percent)
    assert short.value_ns is None and short.upper_ns is None
    assert short.reason == f"needs {needed} samples for 99% confidence, there are {needed - 1}"
    enough = percentile(np.arange(needed, dtype=np.int64), percent)
    assert enough.reason == ""
    assert enough.value_ns == pytest.approx((needed - 1) * percent / 100)
    assert enough.upper_ns == needed - 2  # the second largest: one sample to spare


@settings(max_examples=50, deadline=None)
@given(st.integers(64, 5000), st.sampled_from([50, 90, 95, 99]))
def test_the_spare_samples_are_the_most_the_binomial_allows(count: int, percent: int) -> None:
    spare = spare_above(count, percent)
    if spare is None:
        assert count < samples_needed(percent)
        return
    over = 1 - percent / 100

    def at_most(misses: int) -> float:
        return (
            math.fsum(math.comb(count, k) * over**k * (1 - over) ** (count - k) for k in range(misses + 1))
            if count < 900
            else float("nan")
        )

    if count < 900:
        assert at_most(spare) <= 0.01 < at_most(spare + 1)
    assert spare < count * over


def test_millions_of_samples_are_no_trouble() -> None:
    assert spare_above(4_000_000, 99) == pytest.approx(40_000 - 2.326 * math.sqrt(39_600), rel=1e-3)


def test_the_upper_bound_is_below_the_truth_in_one_of_a_hundred() -> None:
    truth = -math.log(0.1) * 1e6
    rng = np.random.default_rng(1)
    draws = np.sort((rng.exponential(1e6, (1500, 200)) + 1).astype(np.int64), axis=1)
    missed = sum((percentile(row, 90).upper_ns or 0) < truth for row in draws)
    assert missed <= 26  # 15 expected at most; 26 has a chance of 0.5 %


def test_figures_are_of_all_launches_together() -> None:
    summary = summarize([[1_000_000] * 40, [3_000_000] * 60])
    assert summary.count == 100
    assert summary.mean_ns == 2_200_000
    assert (summary.min_ns, summary.max_ns) == (1_000_000, 3_000_000)
    assert summary.percentile(50).value_ns == 3_000_000
    assert summary.launch_medians_ns == (1_000_000, 3_000_000)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarize([[], []])


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        launches = [
            (1e6 * np.exp(rng.normal(0, 0.02)) * np.exp(rng.normal(0, 0.03, 200))).astype(np.int64)
            for _ in range(5)
        ]
        interval = median_interval(launches, seed=seed)
        covered += interval.low_ns <= 1e6 <= interval.high_ns
    assert covered >= 0.90 * 300


def test_the_interval_is_as_wide_as_launches_differ_not_as_samples_do() -> None:
    steady = median_interval([np.asarray(latencies(4.0, 5000, seed=i)) for i in range(5)])
    moving = median_interval([np.asarray(latencies(4.0 + 0.2 * i, 5000, seed=i)) for i in range(5)])
    assert steady.high_ns - steady.low_ns < 0.02e6
    assert moving.high_ns - moving.low_ns > 0.3e6
    assert "5 launches" in moving.method


def test_one_launch_says_what_its_interval_leaves_out() -> None:
    assert "differences between launches are not in it" in median_interval([np.arange(1, 100)]).method


def test_the_interval_is_the_same_for_the_same_samples() -> None:
    launches = [np.asarray(latencies(4.0, 300, seed=i)) for i in range(3)]
    assert median_interval(launches) == median_interval(launches)


def test_the_shortcut_bootstrap_is_the_plain_one() -> None:
    samples = np.asarray(latencies(4.0, 101, spread=0.2))
    rng = np.random.default_rng(3)
    plain = np.median(rng.choice(samples, (4000, samples.size)), axis=1)
    quick = bootstrap_medians([samples], np.random.default_rng(4), 4000)
    assert np.mean(quick) == pytest.approx(np.mean(plain), rel=0.003)
    assert np.std(quick) == pytest.approx(np.std(plain), rel=0.08)


def test_outliers_are_counted() -> None:
    quiet = [1_000_000 + 1000 * (i % 20) for i in range(998)]
    (note,) = summarize([[*quiet, 9_000_000, 30_000_000]]).notes
    assert note.startswith("2 of 1000 samples (0.20%) are far out") and "the slowest took 30 ms" in note
    assert summarize([quiet]).notes == ()


def test_two_levels_are_noted_and_one_level_is_not() -> None:
    rng = np.random.default_rng(0)
    two = np.where(rng.random(2000) < 0.3, 1.3, 1.0) * np.exp(rng.normal(0, 0.03, 2000)) * 1e6
    (note,) = (n for n in summarize([two.astype(np.int64)]).notes if "levels" in n)
    assert note.startswith("the samples gather at 2 levels, 0.9981 ms and 1.3")
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        skewed = np.exp(rng.normal(0, 0.05, 800)) + (rng.random(800) < 0.05) * rng.gamma(2, 0.2, 800)
        false += len(modes(np.sort((skewed * 1e6).astype(np.int64)))) > 1
    assert false == 0


def test_equal_samples_have_one_level_and_a_density() -> None:
    same = np.full(500, 1000)
    assert modes(same) == (1000.0,)
    places, heights = density(same, 900, 1100)
    assert heights.max() == 1.0
    assert places[heights.argmax()] == pytest.approx(1000, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 1 << 40), max_size=150), min_size=1, max_size=4))
def test_any_samples_can_be_summarized(launches: list[list[int]]) -> None:
    if not any(launches):
        return
    summary = summarize(launches)
    assert summary.min_ns <= summary.interval.low_ns <= summary.interval.high_ns <= summary.max_ns
    for found in summary.percentiles:
        assert (found.value_ns is None) == bool(found.reason)
        if found.value_ns is not None and found.upper_ns is not None:
            assert summary.min_ns <= found.value_ns <= summary.max_ns
