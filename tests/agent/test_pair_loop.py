"""Two models by turns: whole rounds, both models alike, every inference kept, nothing beyond the bounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgewright_agent.pair_loop import ROUNDS, Blocks, most_of_block, room_of_side, take_turns
from edgewright_agent.protocol_pair import PairPlan

PLAN = PairPlan(
    launches=1,
    budget_ns=10**9,
    block_ns=200_000,
    duration_ns=20_000_000,
    min_rounds=3,
    warmup_ns=0,
    max_count=1 << 14,
)


@dataclass(frozen=True)
class Played:
    """The turns of two models in this process, and whose inference each was."""

    order: str
    counts: list[int]
    seen: str
    latency_ns: dict[str, list[int]]

    @property
    def rounds(self) -> list[str]:
        return [self.order[at : at + 4] for at in range(0, len(self.order), 4)]


def play(
    plan: PairPlan = PLAN, seed: str = "", a_ns: int = 20_000, b_ns: int = 20_000, first: str = "A"
) -> Played:
    seen: list[str] = []

    def model(name: str, takes_ns: int) -> Callable[[], None]:
        def invoke() -> None:
            seen.append(name)
            until = time.perf_counter_ns() + takes_ns
            while time.perf_counter_ns() < until:
                pass

        return invoke

    takes = {"A": a_ns, "B": b_ns}
    blocks = {name: Blocks(model(name, takes[name]), plan) for name in sorted("AB", key=lambda n: n != first)}
    order, counts = take_turns(dict(blocks), plan, seed)
    return Played(order, counts, "".join(seen), {name: list(one.latency_ns) for name, one in blocks.items()})


def test_every_inference_is_timed_in_its_block() -> None:
    found = play()
    assert set(found.rounds) == set(ROUNDS)
    expected = "".join(turn * count for turn, count in zip(found.order, found.counts, strict=True))
    assert found.seen == "AB" + expected  # the warm-up comes first
    for side, samples in found.latency_ns.items():
        assert len(samples) == sum(c for t, c in zip(found.order, found.counts, strict=True) if t == side)
        assert min(samples) >= 20_000
    assert sum(map(sum, found.latency_ns.values())) >= PLAN.duration_ns / 2


def test_the_one_that_is_loaded_first_is_warmed_up_first() -> None:
    assert play(first="B").seen[:2] == "BA"


def test_a_block_ends_when_its_time_is_over() -> None:
    found = play(replace(PLAN, block_ns=100_000), a_ns=30_000, b_ns=150_000)
    counts = {s: [c for t, c in zip(found.order, found.counts, strict=True) if t == s] for s in "AB"}
    assert max(counts["A"]) <= 4 and set(counts["B"]) == {1}


def test_every_two_rounds_go_both_ways_in_the_order_of_the_seed() -> None:
    plan = replace(PLAN, duration_ns=0, min_rounds=6, max_count=1 << 16)
    orders = {seed: play(plan, seed, 1, 1).order for seed in "123456"}
    assert orders["1"] == play(plan, "1", 1, 1).order
    assert len(set(orders.values())) > 1
    for order in orders.values():
        for at in range(0, 24, 8):
            assert {order[at : at + 4], order[at + 4 : at + 8]} == set(ROUNDS)


def test_there_are_as_many_rounds_as_asked_for_and_one_at_least() -> None:
    assert len(play(replace(PLAN, duration_ns=0, min_rounds=5)).rounds) == 5
    assert len(play(replace(PLAN, longest_ns=1)).rounds) == 1


def test_fast_models_fill_whole_rounds_and_no_more() -> None:
    plan = replace(PLAN, max_count=320, block_ns=10**9, duration_ns=10**10, longest_ns=10**10)
    found = play(plan, a_ns=1, b_ns=1)
    assert (room_of_side(plan), most_of_block(plan)) == (160, 10)
    assert found.counts == [10] * 32 and len(found.rounds) == 8
    assert {len(samples) for samples in found.latency_ns.values()} == {160}


def test_a_side_has_room_for_a_round_whatever_is_asked_for() -> None:
    found = play(replace(PLAN, max_count=0), a_ns=1, b_ns=1)
    assert set(found.counts) == {1} and len(found.rounds) == 8
