"""Choosing channels for a budget of time, against every choice there is."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.latency.knapsack import Choice, choose, total_ns
from edgewright.latency.layers import Channels, Group, Layer, LayerShape, Network, choices


def conv(inputs: int, outputs: int, size: int = 8) -> LayerShape:
    return LayerShape("conv", inputs, outputs, (1, size, size), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))


def chain(importances: list[list[float]], round_to: int = 4) -> Network:
    """Convolutions one after the other, each a group but for the last; 3 channels in, 10 out."""
    groups = [Group(f"g{n}", tuple(sorted(i)), choices(len(i), round_to)) for n, i in enumerate(importances)]
    sides = [Channels(3), *(Channels(0, ((group.name, 1),)) for group in groups), Channels(10)]
    full = {group.name: group.size for group in groups}
    layers = [
        Layer(f"conv{n}", conv(before.count(full), behind.count(full)), before, behind)
        for n, (before, behind) in enumerate(itertools.pairwise(sides))
    ]
    return Network(tuple(groups), tuple(layers))


def time_ns(shape: LayerShape) -> float:
    return 50.0 + shape.inputs * shape.outputs


def best_of_all(network: Network, budget_ns: float) -> float | None:
    """The least importance that has to go, by looking at every choice."""
    names = [group.name for group in network.groups]
    every = itertools.product(*(group.choices for group in network.groups))
    fitting = [
        network.lost(counts)
        for counts in (dict(zip(names, kept, strict=True)) for kept in every)
        if total_ns(network, time_ns, counts) <= budget_ns
    ]
    return min(fitting, default=None)


def random_chain(seed: int, groups: int = 3, size: int = 16) -> Network:
    rng = random.Random(seed)
    return chain([[rng.expovariate(1 / (1 + 9 * (n % 2))) for _ in range(size)] for n in range(groups)])


@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 1.1))
@settings(max_examples=60, deadline=None)
def test_a_choice_keeps_to_the_budget_and_is_nearly_the_best(seed: int, share: float) -> None:
    network = random_chain(seed)
    budget = share * total_ns(network, time_ns, network.full)
    choice, best = choose(network, time_ns, budget), best_of_all(network, budget)
    assert (choice is None) == (best is None)
    if choice is not None and best is not None:
        assert choice.total_ns <= budget * (1 + 1e-12)
        assert choice.lost == pytest.approx(network.lost(choice.counts))
        assert choice.total_ns == pytest.approx(total_ns(network, time_ns, choice.counts))
        most = network.lost(network.smallest)
        assert choice.lost - best <= 0.05 * most + 1e-9


def test_what_is_worth_least_for_its_time_goes_first() -> None:
    dear, cheap = [100.0] * 16, [1.0] * 16
    network = chain([dear, cheap, dear])
    choice = choose(network, time_ns, 0.75 * total(network))
    assert choice is not None and choice.counts == {"g0": 16, "g1": 8, "g2": 16}


def total(network: Network) -> float:
    return total_ns(network, time_ns, network.full)


def test_with_time_for_all_nothing_goes() -> None:
    network = random_chain(1)
    assert choose(network, time_ns, total(network)) == Choice(network.full, total(network), 0.0)


def test_too_small_a_budget_gives_no_choice() -> None:
    network = random_chain(1)
    assert choose(network, time_ns, 1.0) is None


def test_a_staircase_is_jumped_over() -> None:
    """A step that saves nothing alone does not end the search: kernels take 12 channels as they take 16."""

    def stairs(shape: LayerShape) -> float:
        return 1000.0 * (-(-shape.outputs // 8)) * (-(-shape.inputs // 8))

    network = random_chain(2)
    choice = choose(network, stairs, 0.6 * total_ns(network, stairs, network.full))
    assert choice is not None and choice.total_ns <= 0.6 * total_ns(network, stairs, network.full)
    assert 12 not in choice.counts.values()  # 16 takes no longer, and loses less
