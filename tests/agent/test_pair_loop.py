"""Two models by turns: whole rounds, both models alike, every inference kept, nothing beyond the bounds."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from edgewright_agent.pair_loop import ROUNDS, Turns, take_turns
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


def take(plan: PairPlan = PLAN, seed: int = 0, a_ns: int = 20_000, b_ns: int = 20_000) -> tuple[Turns, str]:
    """The turns, and whose inference each was."""
    seen: list[str] = []

    def model(name: str, takes_ns: int) -> Callable[[], None]:
        def invoke() -> None:
            seen.append(name)
            until = time.perf_counter_ns() + takes_ns
            while time.perf_counter_ns() < until:
                pass

        return invoke

    return take_turns(model("A", a_ns), model("B", b_ns), plan, seed), "".join(seen)


def rounds(turns: Turns) -> list[str]:
    return [turns.order[at : at + 4] for at in range(0, len(turns.order), 4)]


def test_every_inference_is_timed_in_its_block() -> None:
    turns, seen = take()
    assert set(rounds(turns)) == set(ROUNDS)
    expected = "".join(turn * count for turn, count in zip(turns.order, turns.counts, strict=True))
    assert seen == "AB" + expected  # the warm-up comes first
    assert len(turns.latency_ns) == sum(turns.counts)
    assert min(turns.latency_ns) >= 20_000
    assert sum(turns.latency_ns) >= PLAN.duration_ns / 2


def test_a_block_ends_when_its_time_is_over() -> None:
    turns, _ = take(replace(PLAN, block_ns=100_000), a_ns=30_000, b_ns=150_000)
    counts = {side: [c for t, c in zip(turns.order, turns.counts, strict=True) if t == side] for side in "AB"}
    assert max(counts["A"]) <= 4 and set(counts["B"]) == {1}


def test_the_order_is_the_seed_s() -> None:
    plan = replace(PLAN, duration_ns=0, min_rounds=12, max_count=1 << 16)
    orders = {seed: take(plan, seed, 1, 1)[0].order for seed in (1, 2)}
    assert orders[1] == take(plan, 1, 1, 1)[0].order != orders[2]


def test_there_are_as_many_rounds_as_asked_for_and_one_at_least() -> None:
    assert len(rounds(take(replace(PLAN, duration_ns=0, min_rounds=5))[0])) == 5
    assert len(rounds(take(replace(PLAN, longest_ns=1))[0])) == 1


def test_fast_models_fill_whole_rounds_and_no_more() -> None:
    turns, seen = take(replace(PLAN, max_count=320, duration_ns=10**10, longest_ns=10**10), a_ns=1, b_ns=1)
    assert list(turns.counts) == [10] * 32
    assert len(turns.order) == 32 and len(turns.latency_ns) == 320 and len(seen) == 322


def test_the_collector_is_off_meanwhile_and_on_again_after_a_failure() -> None:
    states: list[bool] = []

    def fail() -> None:
        states.append(gc.isenabled())
        if len(states) > 3:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        take_turns(fail, fail, PLAN, 0)
    assert states[2:] == [False, False] and gc.isenabled()
