"""The signed-rank interval is exact, and holds whatever the noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgewright.report.signed_ranks import interval, middle, values_needed


def tails(count: int) -> list[float]:
    """Two-sided chances of the signed-rank sum being at most 0, 1, 2 ..., counted out over every sign."""
    ranks = range(1, count + 1)
    sums = [sum(itertools.compress(ranks, signs)) for signs in itertools.product((0, 1), repeat=count)]
    return [2 * sum(total <= most for total in sums) / 2**count for most in range(3 * count)]


@pytest.mark.parametrize(("count", "error"), [(6, 0.05), (8, 0.01), (10, 0.002), (10, 0.05), (12, 0.002)])
def test_the_interval_leaves_out_as_many_means_as_the_error_allows(count: int, error: float) -> None:
    values = np.random.default_rng(count).normal(size=count)
    means = np.sort([(values[i] + values[j]) / 2 for i in range(count) for j in range(i, count)])
    cut = sum(chance <= error for chance in tails(count))
    assert cut >= 1
    assert interval(list(values), error) == pytest.approx((means[cut - 1], means[-cut]))


def test_too_few_values_have_no_interval() -> None:
    assert values_needed(0.002) == 10
    assert interval([1.0] * 9, 0.002) is None
    assert interval([1.0] * 10, 0.002) == (1.0, 1.0)


def test_the_middle_is_robust() -> None:
    assert middle([0.0, 0.1, -0.1, 0.02, 900.0]) == pytest.approx(0.05, abs=0.06)


@pytest.mark.parametrize("spread", ["normal", "wild"])
def test_it_misses_the_truth_as_seldom_as_it_says(spread: str) -> None:
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(1000):
        values = rng.normal(size=12) if spread == "normal" else rng.standard_cauchy(size=12)
        found = interval(list(3 + values), 0.05)
        assert found
        missed += not found[0] <= 3 <= found[1]
    assert missed <= 75
