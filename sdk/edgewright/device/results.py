"""What a device tells of a job, checked before anything is computed from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgewright.errors import ProtocolMismatch
from edgewright.untrusted import one_line
from edgewright_agent.protocol import RunResult
from edgewright_agent.protocol_pair import PairJob, PairLaunch, PairResult
from edgewright_agent.protocol_spool import STATES, JobInfo

from .agent_link import decoded

#: More than any agent keeps.
MAX_JOBS = 10_000

_ROUNDS = frozenset({"ABBA", "BAAB"})
_JOB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def checked_jobs(target: str, event: Mapping[str, Any]) -> tuple[JobInfo, ...]:
    """The jobs in a ``jobs`` event.

    Raises:
        ProtocolMismatch: there are too many, or one has an id or a state that is none.
    """
    jobs = decoded(target, tuple[JobInfo, ...], event.get("jobs"), "jobs")
    if len(jobs) > MAX_JOBS:
        raise ProtocolMismatch(target, f"the device tells of {len(jobs)} jobs, more than any keeps")
    for job in jobs:
        if not _JOB_ID.fullmatch(job.job_id):
            raise ProtocolMismatch(target, f"not the id of a job: {one_line(job.job_id, 80)!r}")
        if job.state not in STATES:
            raise ProtocolMismatch(target, f"not the state of a job: {one_line(job.state, 80)!r}")
    return jobs


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
