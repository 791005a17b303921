"""Two models that took turns: how much longer B takes than A, launch by launch, and when that is known.

Within a launch they take turns of milliseconds, so what slows one slows both. A block
counts by the lower quartile of its inferences, which others' work on the machine reaches last; a round of
four blocks gives one ratio, A B B A or B A A B so that a drift cancels, and the launch the median of its
rounds. Where a process's memory happens to lie is different in each, so launches and not rounds are
compared: Wilcoxon's interval over them, at a fixed number of looks that share the chance of error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright_agent.protocol_pair import PairLaunch

from .decision import Answer, Bounds, decide, settled
from .signed_ranks import interval, middle

#: After so many launches the answer is looked for. Each look may err with LOOK_ERROR, all with ERROR.
LOOKS = (10, 12, 16, 24, 40)
LOOK_ERROR = 0.002
ERROR = LOOK_ERROR * len(LOOKS)
_QUARTILE = 0.25


@dataclass(frozen=True)
class LaunchRatio:
    """One launch: B's time over A's, and the medians over all inferences of each, in nanoseconds."""

    ratio: float
    a_ns: float
    b_ns: float


def launch_ratio(launch: PairLaunch) -> LaunchRatio:
    """Reduce a launch whose blocks add up."""
    samples = np.asarray(launch.latency_ns, dtype=np.float64)
    blocks = np.split(samples, np.cumsum(launch.counts)[:-1])
    logs = np.log([np.quantile(block, _QUARTILE) for block in blocks])
    signs = np.asarray([1.0 if turn == "B" else -1.0 for turn in launch.order])
    rounds = (signs * logs).reshape(-1, 4).sum(axis=1) / 2
    each = {
        side: np.concatenate(
            [block for turn, block in zip(launch.order, blocks, strict=True) if turn == side]
        )
        for side in "AB"
    }
    return LaunchRatio(
        math.exp(float(np.median(rounds))), float(np.median(each["A"])), float(np.median(each["B"]))
    )


@dataclass(frozen=True)
class Finding:
    """What B is to A so far. ``bounds`` is None before the first look, and ``answer`` cannot tell."""

    answer: Answer
    ratio: float
    bounds: Bounds | None
    is_settled: bool


def look(ratios: Sequence[float], threshold: float) -> Finding:
    """Look at the launches so far; to be called once at each of :data:`LOOKS`, and once at the end."""
    logs = [math.log(ratio) for ratio in ratios]
    found = interval(logs, LOOK_ERROR)
    ratio = math.exp(middle(logs))
    if found is None:
        return Finding("cannot tell", ratio, None, is_settled=False)
    bounds = Bounds(math.exp(found[0]), math.exp(found[1]))
    return Finding(decide(bounds, threshold), ratio, bounds, settled(bounds, threshold))
