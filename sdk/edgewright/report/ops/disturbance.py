"""Whether something else ran while a model was profiled: its own two timings contradict each other then.

Profiling cannot make an inference faster, the nodes of an inference cannot take longer than it does, and what
each node usually takes adds up to what they usually take together, unless inferences are interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence

#: An inference without profiling that takes longer than one with it, by more than this share, was slowed.
PLAIN = 0.10
#: Nodes that take longer together than the inference, by more than this share, were slowed.
PROFILED = 0.15
#: What writing a node down costs at least; part of it falls into the node's own time.
_PER_NODE_MS = 0.002
#: Inferences whose nodes take longer than the medians of the nodes add up to, by more than this, were
#: interrupted.
INTERRUPTED = 0.15


def disturbance(
    plain_ms: float, profiled_ms: float, nodes_ms: float, node_medians_ms: Sequence[float]
) -> str | None:
    """What was disturbed, in words; None when the figures agree.

    Args:
        plain_ms: an inference without profiling.
        profiled_ms: an inference with profiling.
        nodes_ms: all nodes of it together.
        node_medians_ms: each node of it.
    """
    if profiled_ms < (1.0 - PLAIN) * plain_ms:
        return "inferences took longer without profiling than with it: something else slowed them"
    allowed_ms = max(len(node_medians_ms) * _PER_NODE_MS, profiled_ms - nodes_ms)
    if nodes_ms > (1.0 + PROFILED) * plain_ms + allowed_ms:
        return "the nodes took longer than an inference without profiling: something else slowed them"
    usual_ms = sum(node_medians_ms)
    if nodes_ms > (1.0 + INTERRUPTED) * usual_ms + allowed_ms:
        return (
            f"inferences were interrupted: their nodes took {nodes_ms:.3g} ms, and {usual_ms:.3g} ms going "
            "by each node's own median"
        )
    return None
