"""Taking turns: whose block is next, and the loop of one block: inferences and clock reads, nothing else."""

import gc
import random
import time
from array import array
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Protocol, Tuple

from .codec import Samples
from .protocol_pair import PairPlan

ROUNDS = ("ABBA", "BAAB")
#: A side has room for the blocks of so many rounds however fast it is.
_ROUNDS_AT_LEAST = 8


class Player(Protocol):
    """One of the two."""

    def warm_up(self) -> None:
        """Run for a while without keeping a time."""

    def block(self) -> int:
        """Run one block; how many inferences it held."""


class Blocks:
    """A model's inferences, in blocks, kept in an array that was allocated and touched beforehand."""

    def __init__(self, invoke: Callable[[], object], plan: PairPlan) -> None:
        self._invoke = invoke
        self._plan = plan
        self._most = most_of_block(plan)
        self._into = array("q", bytes(8 * room_of_side(plan)))
        self._filled = 0

    @property
    def latency_ns(self) -> Samples:
        """All inferences so far."""
        return Samples(self._into[: self._filled])

    def warm_up(self) -> None:
        """Run for as long as the plan says, once at least."""
        until = time.perf_counter_ns() + self._plan.warmup_ns
        while True:
            self._invoke()
            if time.perf_counter_ns() >= until:
                return

    def block(self) -> int:
        """Time inferences back to back, one at least and :func:`most_of_block` at most."""
        invoke, clock, into = self._invoke, time.perf_counter_ns, self._into
        at, full = self._filled, self._filled + self._most
        start = clock()
        until = start + self._plan.block_ns
        while True:
            invoke()
            end = clock()
            into[at] = end - start
            at += 1
            if end >= until or at == full:
                break
            start = clock()
        count, self._filled = at - self._filled, at
        return count


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the garbage collector, which would run within some inference."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def room_of_side(plan: PairPlan) -> int:
    """How many inferences a side can keep."""
    return max(2 * _ROUNDS_AT_LEAST, plan.max_count // 2)


def most_of_block(plan: PairPlan) -> int:
    """How many inferences a block holds at most."""
    return room_of_side(plan) // (2 * _ROUNDS_AT_LEAST)


def take_turns(players: Dict[str, Player], plan: PairPlan, seed: str) -> Tuple[str, List[int]]:
    """Warm both up, then let them run by turns: the order of the blocks, and the inferences in each.

    Of every two rounds one goes either way, and which one first is drawn at random, so that no rhythm of the
    device or its other work can fall in with them. It ends when the samples of another round might not fit.

    Args:
        players: ``A`` and ``B``, the one that is warmed up first coming first.
        plan: for how long.
        seed: of the order.
    """
    for player in players.values():
        player.warm_up()
    rng = random.Random(seed)
    room, most = room_of_side(plan), most_of_block(plan)
    order, counts = "", []
    filled = dict.fromkeys(players, 0)
    turns = ROUNDS[0]
    begin = time.perf_counter_ns()
    while True:
        done = len(order) // 4
        turns = ROUNDS[1 - ROUNDS.index(turns)] if done % 2 else rng.choice(ROUNDS)
        for turn in turns:
            count = players[turn].block()
            filled[turn] += count
            counts.append(count)
        order += turns
        elapsed = time.perf_counter_ns() - begin
        enough = elapsed >= plan.duration_ns and done + 1 >= plan.min_rounds
        if enough or elapsed >= plan.longest_ns or max(filled.values()) + 2 * most > room:
            return order, counts
