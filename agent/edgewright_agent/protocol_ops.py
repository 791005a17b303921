"""Where the nodes of a model run, and how long each takes: part of :mod:`edgewright_agent.protocol`."""

from dataclasses import dataclass, field
from typing import Optional, Tuple

from .codec import Samples

#: More nodes than this are not listed one by one; what they took is in the total.
MAX_OPS = 4096
#: Longer names are cut, and of a node with more inputs or outputs the first are listed.
MAX_OP_NAME = 300
MAX_OP_TENSORS = 16


@dataclass(frozen=True)
class NodeShare:
    """How many nodes of the graph one provider or delegate executes."""

    provider: str
    nodes: int


@dataclass(frozen=True)
class Placement:
    """Every provider's share of the nodes.

    ``method`` says how they were counted, or why they could not be when there are none.
    """

    nodes: Tuple[NodeShare, ...] = ()
    method: str = ""


@dataclass(frozen=True)
class OpsPlan:
    """Profile every node in a session of its own, after the timed loop of the plain one.

    ``runs`` inferences are profiled after ``warmup`` that are not counted; fewer when they take longer
    than ``max_duration_ns`` or the runtime would write more than ``max_file_bytes`` about them.
    """

    runs: int = 50
    warmup: int = 5
    max_duration_ns: int = 20_000_000_000
    max_file_bytes: int = 1 << 25


@dataclass(frozen=True)
class OpTime:
    """One node: ``median_ns`` is over the profiled runs, all its ``count`` calls of a run added up.

    What runs inside a loop or branch is listed on its own and not in its parent's time. Tensors are
    written ``float32[1x3x224x224]``. ``median_ns`` is None where the runtime tells no times.
    """

    name: str
    op_type: str
    provider: str
    count: int
    median_ns: Optional[int]
    inputs: Tuple[str, ...] = ()
    outputs: Tuple[str, ...] = ()


@dataclass(frozen=True)
class OpsProfile:
    """The nodes in the order they ran, or ``reason`` why there are no times.

    ``sum_ns`` is, for each profiled run, all node times together; ``run_ns`` the whole inference as timed
    from outside, which is what profiling slowed down. ``unlisted`` nodes are in ``sum_ns`` alone.
    """

    ops: Tuple[OpTime, ...]
    sum_ns: Samples = field(default_factory=Samples)
    run_ns: Samples = field(default_factory=Samples)
    reason: str = ""
    unlisted: int = 0
    notes: Tuple[str, ...] = ()
