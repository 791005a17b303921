"""One launch of two models that take turns, in fresh processes.

Runtimes keep their threads spinning for tens of milliseconds after an inference: the waiting model's threads
would take the processors from the running one's. So models of several threads get a process each, which this
one stops between their turns. Models of a single thread have none that spin, and both run in this process,
where nothing of the process's own luck can tell them apart.
"""

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Tuple

from .codec import Samples
from .failure import AgentFailure
from .files import write_json
from .layout import COMPANIONS
from .pair_loop import Blocks, take_turns, undisturbed
from .pair_player import SideProcess
from .phases import Phases
from .protocol import AgentError, Job, decode, encode
from .protocol_pair import PairJob, PairLaunch, PairSide

REQUEST = "pair.json"
REPORT = "pair-report.json"
SIDES = ("A", "B")

#: By side: a job of its own, and the folder its files are in.
Jobs = Dict[str, Tuple[Job, str]]


@dataclass(frozen=True)
class PairRequest:
    """The job and which of its launches this is."""

    job: PairJob
    number: int

    @property
    def seed(self) -> str:
        """Of the order of the turns: another in every launch."""
        return f"{self.job.job.job_id}-{self.number}"


@dataclass(frozen=True)
class PairReport:
    """What the worker hands its parent: a launch, or why there is none."""

    error: Optional[AgentError] = None
    launch: Optional[PairLaunch] = None


def main(folder: str, event_fd: int) -> int:
    """Run one launch of the pair described in ``folder``; 0 when the report was written."""
    with os.fdopen(event_fd, "w", encoding="utf-8") as stream:
        try:
            with open(os.path.join(folder, REQUEST), encoding="utf-8") as request:
                asked = decode(PairRequest, json.load(request))
            report = PairReport(launch=observe(asked, folder, Phases(stream)))
        except AgentFailure as failure:
            report = PairReport(error=failure.error)
        except MemoryError:
            report = PairReport(error=AgentError("out-of-memory", "both models do not fit into memory"))
        write_json(os.path.join(folder, REPORT), encode(report))
    return 0


@dataclass(frozen=True)
class _Seen:
    """The order of the blocks, the inferences in each, and what either side tells."""

    order: str
    counts: List[int]
    told: Dict[str, Tuple[PairSide, Samples]]


def observe(asked: PairRequest, folder: str, phases: Phases) -> PairLaunch:
    """Open both, the one that goes first by turns from launch to launch, and let them take turns."""
    jobs = sides(asked.job.job, folder)
    sequence = SIDES[:: -1 if asked.number % 2 else 1]
    is_alone = all(job.execution.threads == 1 for job, _ in jobs.values())
    ordered = {name: jobs[name] for name in sequence}
    seen = (_together if is_alone else _apart)(ordered, asked, phases)
    return PairLaunch(
        number=asked.number,
        loaded_first=sequence[0],
        a=seen.told["A"][0],
        b=seen.told["B"][0],
        order=seen.order,
        counts=Samples(seen.counts),
        latency_ns=_joined(seen),
    )


def _together(jobs: Jobs, asked: PairRequest, phases: Phases) -> _Seen:
    """Both in this process: on the same thread, and so on the same processor."""
    from .pair_side import open_side

    opened = {}
    for name, (job, where) in jobs.items():
        phases.enter(f"load {name}")
        try:
            opened[name] = open_side(job, where)
        except AgentFailure as failure:
            raise failure.of(name) from failure
    blocks = {name: Blocks(session.invoke, asked.job.plan) for name, (session, _) in opened.items()}
    phases.enter("measure")
    with undisturbed():
        order, counts = take_turns(dict(blocks), asked.job.plan, asked.seed)
    return _Seen(order, counts, {name: (opened[name][1], blocks[name].latency_ns) for name in SIDES})


def _apart(jobs: Jobs, asked: PairRequest, phases: Phases) -> _Seen:
    """Each in a process that is stopped while the other runs."""
    with ExitStack() as stack:
        phases.enter("load")
        processes: Dict[str, SideProcess] = {}
        for name, (job, where) in jobs.items():
            processes[name] = SideProcess(name, where, job, asked.job.plan)
            stack.callback(processes[name].close)
        for process in processes.values():
            process.opened()
        phases.enter("measure")
        order, counts = take_turns(dict(processes), asked.job.plan, asked.seed)
        return _Seen(order, counts, {name: processes[name].end() for name in SIDES})


def sides(job: Job, folder: str) -> Jobs:
    """Each side as a job of its own, and the folder its files are in."""
    if len(job.companions) != 1:
        raise AgentFailure("protocol", f"a pair is a job with one companion, not {len(job.companions)}")
    other = job.companions[0]
    bare = replace(job, scenario=None, energy=None, profile_ops=None, companions=())
    b = replace(bare, model=other.model, execution=other.execution, data=other.data)
    return {"A": (bare, folder), "B": (b, os.path.join(folder, COMPANIONS, "0"))}


def _joined(seen: _Seen) -> Samples:
    """Both sides' inferences in the order they ran."""
    at = dict.fromkeys(seen.told, 0)
    joined: List[int] = []
    for turn, count in zip(seen.order, seen.counts):
        joined.extend(seen.told[turn][1][at[turn] : at[turn] + count])
        at[turn] += count
    return Samples(joined)
