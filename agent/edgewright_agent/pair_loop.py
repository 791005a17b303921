"""The loop in which two models take turns: inferences, clock reads, and nothing else."""

import gc
import random
import time
from array import array
from dataclasses import dataclass
from typing import Callable, List

from .codec import Samples
from .protocol_pair import PairPlan

Invoke = Callable[[], object]

ROUNDS = ("ABBA", "BAAB")
#: There is room for so many rounds however fast the models are.
_ROUNDS_AT_LEAST = 8


@dataclass(frozen=True)
class Turns:
    """See :class:`~edgewright_agent.protocol_pair.PairLaunch`."""

    order: str
    counts: Samples
    latency_ns: Samples


def take_turns(a: Invoke, b: Invoke, plan: PairPlan, seed: int) -> Turns:
    """Warm both up, then run them by turns.

    The order within a round is drawn at random, so that no rhythm of the device or its other work can
    fall in with it. It ends when the samples of another round might not fit.
    """
    for invoke in (a, b):
        _warm_up(invoke, plan.warmup_ns)
    rng = random.Random(seed)
    into = array("q", bytes(8 * plan.max_count))
    most = max(1, plan.max_count // _ROUNDS_AT_LEAST // 4)
    order: List[str] = []
    ends: List[int] = []
    filled = 0
    clock = time.perf_counter_ns
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        begin = clock()
        while True:
            turns = rng.choice(ROUNDS)
            for turn in turns:
                filled = _block(a if turn == "A" else b, plan.block_ns, into, filled, most)
                ends.append(filled)
            order.append(turns)
            elapsed = clock() - begin
            enough = elapsed >= plan.duration_ns and len(order) >= plan.min_rounds
            if enough or elapsed >= plan.longest_ns or filled + 4 * most > len(into):
                break
    finally:
        if was_enabled:
            gc.enable()
    counts = [end - start for start, end in zip([0, *ends], ends)]
    return Turns("".join(order), Samples(counts), Samples(into[: ends[-1]]))


def _warm_up(invoke: Invoke, duration_ns: int) -> None:
    until = time.perf_counter_ns() + duration_ns
    while True:
        invoke()
        if time.perf_counter_ns() >= until:
            return


def _block(invoke: Invoke, duration_ns: int, into: "array[int]", at: int, most: int) -> int:
    """Time inferences back to back, one at least and ``most`` at most; the place after the last one."""
    clock, full = time.perf_counter_ns, at + most
    start = clock()
    until = start + duration_ns
    while True:
        invoke()
        end = clock()
        into[at] = end - start
        at += 1
        if end >= until or at == full:
            return at
        start = clock()
