"""Leading to a latency by measuring: with devices whose layers are not what their table says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from tests.unit.test_latency_knapsack import random_chain, time_ns, total

from edgewright.latency.knapsack import total_ns
from edgewright.latency.layers import NOTHING, LayerShape, Network
from edgewright.latency.table import LayerTable
from edgewright.latency.target import Point, Search, Target

NETWORK = random_chain(7, groups=4, size=32)

#: What a device really takes: the table's sum, and what the table knows nothing of.
DEVICES: dict[str, Callable[[float], float]] = {
    "as the table says": lambda total: total,
    "most is in no table": lambda total: 10_000 + total,
    "layers fused": lambda total: 0.4 * total,
    "it bends": lambda total: 300 + total**1.2 / 10,
    "it bends the other way": lambda total: 500 * total**0.5,
}


def table_of(network: Network) -> LayerTable:
    times = {shape: time_ns(shape) for shape in network.grid()}
    return LayerTable({NOTHING: 0.0, **times})


def search_on(network: Network, device: Callable[[float], float], share: float) -> tuple[Search, int]:
    """Measure what is proposed until it is within 2 %; the search, and how many were measured."""

    def measured(counts: Mapping[str, int]) -> Point:
        full = device(total_ns(network, time_ns, network.full))
        return Point(dict(counts), device(total_ns(network, time_ns, counts)) / (share * full))

    search = Search(network, table_of(network), measured(network.full), measured(network.smallest))
    for number in range(12):
        counts = search.next() if abs(search.best.error) > 0.02 else None
        if counts is None:
            return search, number
        assert counts not in [point.counts for point in search.points]
        search.add(measured(counts))
    return search, 12


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
@pytest.mark.parametrize("share", [0.75, 0.9])
def test_the_target_is_reached_whatever_the_table_leaves_out(
    device: Callable[[float], float], share: float
) -> None:
    search, measured = search_on(NETWORK, device, share)
    assert abs(search.best.error) <= 0.02
    assert measured <= 6


@pytest.mark.parametrize("share", [0.65, 0.75, 0.9])
def test_when_only_the_scale_is_wrong_the_first_network_is_near_already(share: float) -> None:
    def device(total: float) -> float:
        return 2000 + 0.4 * total

    full, smallest = (
        Point(counts, device(total_ns(NETWORK, time_ns, counts)) / (share * device(total(NETWORK))))
        for counts in (NETWORK.full, NETWORK.smallest)
    )
    search = Search(NETWORK, table_of(NETWORK), full, smallest)
    counts = search.next()
    assert counts is not None
    assert abs(device(total_ns(NETWORK, time_ns, counts)) / (share * device(total(NETWORK))) - 1) < 0.05


def test_the_correction_says_what_the_table_is_worth() -> None:
    share = 0.8
    search, _ = search_on(NETWORK, lambda total: 2000 + 0.5 * total, share)
    correction = search.correction()
    assert correction is not None
    target_ns = share * (2000 + 0.5 * total_ns(NETWORK, time_ns, NETWORK.full))
    assert correction.scale * target_ns == pytest.approx(0.5)
    assert correction.rest_ns * target_ns == pytest.approx(2000)


def test_a_table_that_says_nothing_gives_no_correction() -> None:
    flat = LayerTable(dict.fromkeys(NETWORK.grid(), 5.0))
    search = Search(NETWORK, flat, Point(NETWORK.full, 1.6), Point(NETWORK.smallest, 0.5))
    assert search.correction() is None


def test_between_two_neighbours_there_is_nothing_left() -> None:
    """Eight channels or four: the search ends instead of measuring one of them again."""
    coarse = random_chain(3, groups=1, size=8)
    search, measured = search_on(coarse, DEVICES["as the table says"], 0.8)
    assert measured == 0 and abs(search.best.error) > 0.02


def test_noise_does_not_make_it_measure_anything_twice() -> None:
    search = Search(NETWORK, table_of(NETWORK), Point(NETWORK.full, 1.6), Point(NETWORK.smallest, 0.5))
    for number in range(20):
        counts = search.next()
        if counts is None:
            break
        assert counts not in [point.counts for point in search.points]
        search.add(Point(counts, 1.0 + (-1) ** number * 0.1))
    assert 3 <= number < 20


def test_after_a_near_miss_the_next_network_is_a_neighbour() -> None:
    """The budget that led there leads there again; what comes next is not half way to the whole network."""
    search = Search(NETWORK, table_of(NETWORK), Point(NETWORK.full, 2.0), Point(NETWORK.smallest, 0.2))
    near = search.next()
    assert near is not None
    search.add(Point(near, 0.97))
    counts = search.next()
    assert counts is not None
    step = total_ns(NETWORK, time_ns, counts) - total_ns(NETWORK, time_ns, near)
    assert abs(step) < 0.15 * total(NETWORK)


def test_a_target_is_a_time_or_a_share() -> None:
    assert Target(latency_ns=4e6).wanted_ns(8e6) == 4e6
    assert Target(share=0.6).wanted_ns(10.0) == 6.0


def test_more_exact_times_change_what_comes_next() -> None:
    table = table_of(NETWORK)
    search = Search(NETWORK, table, Point(NETWORK.full, 1.6), Point(NETWORK.smallest, 0.5))
    first = search.next()
    assert first is not None
    table.add({shape: 3 * time_ns(shape) for shape in NETWORK.shapes(first) if not _is_grid(shape)})
    assert search.next() != first


def _is_grid(shape: LayerShape) -> bool:
    return shape in NETWORK.grid()
