"""Two models timed against each other: what is asked for, and what was seen.

The request is a :class:`PairJob` on standard input, the answer an event ``pair`` with a :class:`PairResult`.
Within each launch the models take turns, block by block, so that whatever slows the device down slows both
alike; every launch is in fresh processes.
"""

from dataclasses import dataclass
from typing import Optional, Tuple

from .codec import Samples
from .protocol import Environment, Job, Parity, SessionInfo
from .protocol_conditions import HeldConditions


@dataclass(frozen=True)
class PairPlan:
    """How often and how long.

    Attributes:
        launches: how many, fewer when ``budget_ns`` runs out; none begins that would outlast it.
        first: the number of the first of them among all launches of the comparison. Odd ones start B first.
        block_ns: a model is run for so long, and once at least, before it is the other's turn.
        duration_ns, min_rounds: both minima hold; a round is four blocks, A B B A or B A A B at random.
        longest_ns, max_count: either ends a launch at the end of a round, however few there were.
    """

    launches: int
    budget_ns: int
    first: int = 0
    block_ns: int = 5_000_000
    duration_ns: int = 500_000_000
    min_rounds: int = 6
    longest_ns: int = 5_000_000_000
    max_count: int = 1 << 18
    warmup_ns: int = 100_000_000


@dataclass(frozen=True)
class PairJob:
    """``job`` is A, its only companion B. Its scenario, energy pass and profile are left out."""

    job: Job
    plan: PairPlan


@dataclass(frozen=True)
class PairSide:
    """What ran on one side of a launch, and how near its outputs were to the host's."""

    session: SessionInfo
    parity: Optional[Parity]
    parity_reason: str = ""


@dataclass(frozen=True)
class PairLaunch:
    """One launch, in fresh processes.

    ``order`` says whose block it was, ``A`` or ``B`` each, four a round; ``counts`` how many inferences the
    block held; ``latency_ns`` are all inferences in the order they ran.
    """

    number: int
    loaded_first: str
    a: PairSide
    b: PairSide
    order: str
    counts: Samples
    latency_ns: Samples


@dataclass(frozen=True)
class PairResult:
    """All launches of one job, and the device's state before the first and after the last."""

    job_id: str
    launches: Tuple[PairLaunch, ...]
    environment: Tuple[Environment, ...]
    conditions: Optional[HeldConditions] = None
