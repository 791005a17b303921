"""What a device tells of a job, checked before anything is computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgewright.errors import ProtocolMismatch
from edgewright_agent.protocol import RunResult
from edgewright_agent.protocol_pair import PairJob, PairLaunch, PairResult

from .agent_link import decoded

_ROUNDS = frozenset({"ABBA", "BAAB"})


def checked_result(target: str, event: Mapping[str, Any], job_id: str, output_bytes: int) -> RunResult:
    """The result in a ``result`` event.

    Raises:
        ProtocolMismatch: it is none, another job's, or announces outputs of more than ``output_bytes``.
    """
    result = decoded(target, RunResult, event.get("result"), "result")
    if result.job_id != job_id:
        raise ProtocolMismatch(target, "the result is another job's")
    sizes = [file.size_bytes for file in result.files]
    if min(sizes, default=0) < 0 or sum(sizes) > output_bytes:
        raise ProtocolMismatch(target, f"the outputs are larger than {output_bytes} bytes")
    return result


def check_pair(target: str, result: PairResult, pair: PairJob) -> None:
    """Refuse a result that is another job's, or whose blocks and samples do not add up.

    Raises:
        ProtocolMismatch: with what is wrong.
    """
    numbers = [launch.number for launch in result.launches]
    first = pair.plan.first
    if result.job_id != pair.job.job_id:
        raise ProtocolMismatch(target, "the result is another job's")
    if len(numbers) > pair.plan.launches or numbers != list(range(first, first + len(numbers))):
        raise ProtocolMismatch(target, f"launches {numbers[:20]} came where {pair.plan.launches} were due")
    for launch in result.launches:
        if not _adds_up(launch):
            raise ProtocolMismatch(target, f"the blocks of launch {launch.number} do not add up")


def _adds_up(launch: PairLaunch) -> bool:
    order, counts = launch.order, launch.counts
    rounds = {order[at : at + 4] for at in range(0, len(order), 4)}
    return (
        bool(order)
        and rounds <= _ROUNDS
        and len(counts) == len(order)
        and min(counts) > 0
        and sum(counts) == len(launch.latency_ns)
        and min(launch.latency_ns) > 0
        and launch.loaded_first in ("A", "B")
    )
