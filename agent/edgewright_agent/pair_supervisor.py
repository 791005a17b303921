"""The parent of workers that hold two models: one fresh process after the other, while the budget lasts."""

import json
import os
import time
from dataclasses import replace
from typing import Any, Dict, List

from . import engines
from .child import Child, Ending, worker_command
from .failure import AgentFailure
from .files import write_json
from .layout import laid_out
from .pair_worker import REPORT, REQUEST, PairReport, PairRequest, sides
from .protocol import Job, decode, encode
from .protocol_pair import PairJob, PairLaunch, PairResult
from .sensors.environment import read_environment
from .store import Store
from .supervisor import Emit, timing_of


def run(job: PairJob, store: Store, emit: Emit) -> PairResult:
    """Run the launches asked for, as many as the budget has time for.

    Raises:
        AgentFailure: the reason why a launch gave no result.
    """
    started = time.monotonic_ns()
    job_id = job.job.job_id
    folder = store.job_folder(job_id)
    with laid_out(job.job, store, folder):
        ready = _with_engines(job, store, folder, emit)
        before = read_environment()
        launches = _launches(ready, folder, started, emit)
        after = read_environment()
    return PairResult(job_id, tuple(launches), (before, after))


def _with_engines(job: PairJob, store: Store, folder: str, emit: Emit) -> PairJob:
    """The pair with its engines built beforehand, for what is compared is running, not compiling."""
    ready: List[Job] = []
    for one, where in sides(job.job, folder).values():
        cached = engines.with_cache(one, store.engines)
        built = engines.Engines(cached, store.engines)
        built.build(lambda first, where=where: timing_of(first, where, emit))  # type: ignore[misc]
        ready.append(cached)
    other = replace(job.job.companions[0], execution=ready[1].execution)
    return replace(job, job=replace(ready[0], companions=(other,)))


def _launches(job: PairJob, folder: str, started_ns: int, emit: Emit) -> List[PairLaunch]:
    launches: List[PairLaunch] = []
    longest_ns = 0
    for number in range(job.plan.first, job.plan.first + job.plan.launches):
        begin_ns = time.monotonic_ns()
        if begin_ns + longest_ns - started_ns > job.plan.budget_ns:
            break
        write_json(os.path.join(folder, REQUEST), encode(PairRequest(job, number)))
        ending = Child(folder, job.job.execution, job.job.limits, _command).run(_ignore, emit)
        launches.append(_launch(folder, ending))
        longest_ns = max(longest_ns, time.monotonic_ns() - begin_ns)
        emit({"event": "progress", "done": len(launches), "of": job.plan.launches, "unit": "launches"})
    return launches


def _command(folder: str, event_fd: int) -> List[str]:
    return worker_command(folder, event_fd, "pair-worker")


def _ignore(event: Dict[str, Any]) -> None:
    """The phases of a launch that lasts a second interest nobody."""


def _launch(folder: str, ending: Ending) -> PairLaunch:
    path = os.path.join(folder, REPORT)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as stream:
            report = decode(PairReport, json.load(stream))
        os.unlink(path)
        if report.error is not None:
            error = report.error
            raise AgentFailure(error.code, error.message, error.mend)
        if report.launch is not None:
            return report.launch
    raise ending.failure()
