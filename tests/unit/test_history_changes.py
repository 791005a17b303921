"""Changes of level in series: found soon, told apart from noise, and nothing found where nothing is."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.history.changes import Course, course
from edgewright.history.divide import divide
from edgewright.history.newest import REFERENCE, newest_shift
from edgewright.history.noise import LEAST, scale

Floats = npt.NDArray[np.float64]
NOTHING = np.empty(0)


def noise(count: int, sigma: float = 0.008, seed: int = 0) -> Floats:
    """Heavy tails: Student's t with four degrees of freedom, scaled to about ``sigma`` in its middle."""
    return np.asarray(np.random.default_rng(seed).standard_t(4, count) * sigma / 1.15)


def stepped(seed: int, ratio: float, at: int, count: int, sigma: float = 0.008) -> Floats:
    logs = noise(count, sigma, seed)
    logs[at:] += math.log(ratio)
    return np.asarray(4e6 * np.exp(logs))


def certain(found: Course) -> list[int]:
    return [change.index for change in found.changes if change.is_certain]


@pytest.mark.parametrize("ratio", [1.05, 1 / 1.05, 1.5, 0.5])
def test_a_step_is_found_within_three_nights_and_where_it_is(ratio: float) -> None:
    found = [course(stepped(seed, ratio, 30, 33), NOTHING).changes for seed in range(40)]
    hits = [changes for changes in found if changes and changes[-1].is_certain]
    assert len(hits) >= 38
    assert sum(changes[-1].index == 30 for changes in hits) >= 35
    assert np.median([changes[-1].ratio for changes in hits]) == pytest.approx(ratio, rel=0.01)
    covering = sum(changes[-1].low <= ratio <= changes[-1].high for changes in hits)
    assert covering >= 0.9 * len(hits)


def test_an_old_step_stays_found_where_it_is() -> None:
    places = [certain(course(stepped(seed, 1.05, 40, 90), NOTHING)) for seed in range(20)]
    assert all(len(found) == 1 and abs(found[0] - 40) <= 1 for found in places)


@pytest.mark.parametrize("at", [30, 200, 600, 634, 635, 636, 640, 817, 818, 900])
def test_in_a_history_of_years_a_step_is_found_wherever_it_is(at: int) -> None:
    found = course(stepped(at, 1.08, at, 1000), NOTHING).changes
    stands = [change for change in found if change.is_certain]
    assert [change.index for change in stands] == pytest.approx([at], abs=1)
    assert stands[0].ratio == pytest.approx(1.08, rel=0.01)


def test_old_steps_do_not_blur_the_levels_of_newer_ones() -> None:
    logs = noise(1000, seed=1)
    for at, level in ((150, 0.3), (420, 0.1), (640, 0.2), (900, 0.1)):
        logs[at:] += math.log1p(level)
    found = course(np.exp(logs), NOTHING).changes
    assert [change.index for change in found] == pytest.approx([150, 420, 640, 900], abs=1)
    assert [change.ratio for change in found] == pytest.approx([1.3, 1.1, 1.2, 1.1], rel=0.01)


def test_a_long_history_without_steps_has_no_changes() -> None:
    found = [certain(course(np.exp(noise(1500, seed=seed)), NOTHING)) for seed in range(10)]
    assert found == [[]] * 10


def test_a_step_that_went_back_is_two() -> None:
    logs = noise(80, seed=3)
    logs[30:50] += math.log(1.08)
    found = course(np.exp(logs), NOTHING).changes
    assert [change.index for change in found] == [30, 50]
    assert found[0].ratio > 1 > found[1].ratio
    assert found[0].until == 50 and found[1].until == 80


def test_noise_alone_gives_hardly_an_alarm() -> None:
    alarms = nights = 0
    for seed in range(30):
        values = np.exp(noise(60, 0.01, seed))
        for night in range(15, 60, 3):
            nights += 1
            alarms += bool(certain(course(values[:night], NOTHING)))
    assert alarms <= 2, f"{alarms} of {nights}"


def test_one_wild_night_is_a_suspect_and_no_more() -> None:
    values = np.exp(noise(31, seed=1))
    values[-1] *= 1.5
    (change,) = course(values, NOTHING).changes
    assert change.index == 30 and not change.is_certain
    refuted = np.append(values, np.exp(noise(2, seed=2)))
    assert course(refuted, NOTHING).changes == ()


def test_a_suspect_measured_twice_more_is_certain() -> None:
    values = stepped(5, 1.06, 30, 31)
    assert not any(change.is_certain for change in course(values, NOTHING).changes)
    assert certain(course(stepped(5, 1.06, 30, 33), NOTHING)) == [30]


def test_a_slow_drift_is_no_step() -> None:
    drift = np.linspace(0, math.log(1.03), 60)
    for seed in range(10):
        values = np.exp(noise(60, 0.006, seed) + drift)
        assert all(not certain(course(values[:night], NOTHING)) for night in (20, 40, 60))


def test_what_is_below_half_the_threshold_is_none() -> None:
    values = stepped(0, 1.02, 30, 60, sigma=0.001)
    assert course(values, NOTHING).changes == ()
    assert certain(course(values, NOTHING, threshold=0.02)) == [30]


def test_what_the_samples_do_not_know_is_noise() -> None:
    values = stepped(0, 1.06, 30, 33, sigma=0.002)
    assert certain(course(values, np.full(33, 0.005))) == [30]
    assert course(values, np.full(33, 0.06)).changes == ()


def test_the_same_series_gives_the_same_answer() -> None:
    values = stepped(7, 1.05, 25, 60)
    assert course(values, NOTHING) == course(values, NOTHING)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-3, 1e12), max_size=24))
def test_any_series_has_an_answer(values: list[float]) -> None:
    found = course(np.asarray(values, dtype=np.float64), NOTHING)
    assert math.isfinite(found.noise) and found.noise > 0
    indices = [change.index for change in found.changes]
    assert indices == sorted(set(indices)) and all(0 < index < len(values) for index in indices)
    for change, following in zip(found.changes, [*indices, len(values)][1:], strict=True):
        assert change.until == following
        assert change.low <= change.ratio <= change.high


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 20))
def test_the_unit_does_not_matter(factor: float, seed: int) -> None:
    values = stepped(seed, 1.07, 20, 40)
    a, b = course(values, NOTHING), course(np.asarray(values * factor), NOTHING)
    assert [change.index for change in a.changes] == [change.index for change in b.changes]


@pytest.mark.parametrize("count", range(REFERENCE + 1))
def test_few_values_have_no_level(count: int) -> None:
    assert newest_shift(np.arange(count, dtype=np.float64), 0.01, 0.02) is None
    assert divide(np.arange(count, dtype=np.float64)) == []


def test_divide_sees_a_change_of_spread_too() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.1, 60), rng.normal(0, 3, 60)])
    found = divide(values)
    assert any(abs(cut - 60) <= 4 for cut in found)


def test_the_scale_is_the_noise_s_whatever_a_few_values_did() -> None:
    clean = np.random.default_rng(0).normal(0, 0.01, 200)
    wild = clean.copy()
    wild[::20] += 1.0
    assert scale([clean], NOTHING) == pytest.approx(0.01, rel=0.2)
    assert scale([wild], NOTHING) == pytest.approx(0.01, rel=0.25)
    assert scale([np.zeros(10)], NOTHING) == LEAST
    assert scale([np.zeros(10)], np.full(10, 0.03)) == 0.03
