"""What a side's process and the one that conducts it say to each other; the latter imports nothing heavy."""

import struct
from dataclasses import dataclass, field
from typing import Optional

from .protocol import AgentError, Job, Samples
from .protocol_pair import PairPlan, PairSide

REQUEST = "side.json"
REPORT = "side-report.json"

WARM_UP, BLOCK, END = b"W", b"B", b"E"
#: An answer is a number: of inferences, or that it is done, or that it failed and the report says why.
ANSWER = struct.Struct("<i")
DONE, FAILED = 0, -1


@dataclass(frozen=True)
class SideRequest:
    """What to open and how to time it."""

    job: Job
    plan: PairPlan


@dataclass(frozen=True)
class SideReport:
    """What the side leaves behind: what ran and every inference, or why it failed."""

    error: Optional[AgentError] = None
    side: Optional[PairSide] = None
    latency_ns: Samples = field(default_factory=Samples)
