"""Launches of two models by turns, made by hand: seeded, and measured on nothing."""

from __future__ import annotations

import numpy as np

from edgewright_agent.protocol import Samples, SessionInfo, TensorSpec
from edgewright_agent.protocol_pair import PairLaunch, PairSide


def pair_side(runtime: str = "onnxruntime", **changes: object) -> PairSide:
    tensor = TensorSpec("x", "float32", (1, 8))
    facts = {"version": "1.23.2", "providers": ("CPUExecutionProvider",), "threads": 1, **changes}
    return PairSide(SessionInfo(runtime, inputs=(tensor,), outputs=(tensor,), **facts), None, "")  # type: ignore[arg-type]


def pair_launch(
    a_ns: int,
    b_ns: int,
    *,
    rounds: int = 6,
    per_block: int = 12,
    number: int = 0,
    drift: float = 0.0,
    disturbed_blocks: float = 0.0,
    disturbed_inferences: float = 0.0,
) -> PairLaunch:
    """A launch whose blocks are all as long.

    Args:
        drift: by how much everything slows down within a round.
        disturbed_blocks: the share of blocks that take twice as long.
        disturbed_inferences: the share of single inferences that take three times as long.
    """
    rng = np.random.default_rng(number)
    order = "".join(rng.choice(["ABBA", "BAAB"]) for _ in range(rounds))
    samples: list[int] = []
    for place, turn in enumerate(order):
        slow = (1 + drift * place / 4) * (2 if rng.random() < disturbed_blocks else 1)
        each = (a_ns if turn == "A" else b_ns) * slow * np.exp(rng.normal(0, 0.002, per_block))
        each[rng.random(per_block) < disturbed_inferences] *= 3
        samples.extend(int(v) for v in each)
    return PairLaunch(
        number,
        "AB"[number % 2],
        pair_side(),
        pair_side(),
        order,
        Samples([per_block] * len(order)),
        Samples(samples),
    )
