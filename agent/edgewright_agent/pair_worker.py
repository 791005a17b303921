"""The process in which two models take turns. Both are loaded and checked before either is timed."""

import json
import os
from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple

from . import arrays, parity
from .failure import AgentFailure
from .feeds import Feeds
from .files import write_json
from .layout import COMPANIONS
from .pair_loop import take_turns
from .protocol import AgentError, FileRef, Job, decode, encode
from .protocol_pair import PairJob, PairLaunch, PairSide
from .runtimes import Session, import_runtime, placement
from .worker import REPORT, Phases

REQUEST = "pair.json"
SIDES = ("a", "b")


@dataclass(frozen=True)
class PairRequest:
    """The job and which of its launches this is."""

    job: PairJob
    number: int


@dataclass(frozen=True)
class PairReport:
    """What the worker hands its parent: a launch, or why there is none."""

    error: Optional[AgentError] = None
    launch: Optional[PairLaunch] = None


@dataclass(frozen=True)
class _Opened:
    session: Session
    likeness: parity.Check

    def told(self) -> PairSide:
        info = self.session.info()
        return PairSide(info, self.likeness.parity, self.likeness.reason)


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
            report = PairReport(
                error=AgentError("out-of-memory", "both models at once do not fit into memory")
            )
        write_json(os.path.join(folder, REPORT), encode(report))
    return 0


def observe(asked: PairRequest, folder: str, phases: Phases) -> PairLaunch:
    """Open both, the one that goes first by turns from launch to launch, and let them take turns."""
    jobs, number = sides(asked.job.job, folder), asked.number
    opened: Dict[str, _Opened] = {}
    sequence = SIDES[:: -1 if number % 2 else 1]
    for side in sequence:
        phases.enter(f"load {side}")
        opened[side] = _open(*jobs[side], side)
    phases.enter("measure")
    turns = take_turns(opened["a"].session.invoke, opened["b"].session.invoke, asked.job.plan, number)
    return PairLaunch(
        number=number,
        loaded_first=sequence[0].upper(),
        a=opened["a"].told(),
        b=opened["b"].told(),
        order=turns.order,
        counts=turns.counts,
        latency_ns=turns.latency_ns,
    )


def sides(job: Job, folder: str) -> Dict[str, Tuple[Job, str]]:
    """Each side as a job of its own, and the folder its files are in."""
    if len(job.companions) != 1:
        raise AgentFailure("protocol", f"a pair is a job with one companion, not {len(job.companions)}")
    other = job.companions[0]
    bare = replace(job, scenario=None, energy=None, profile_ops=None, companions=())
    b = replace(bare, model=other.model, execution=other.execution, data=other.data)
    return {"a": (bare, folder), "b": (b, os.path.join(folder, COMPANIONS, "0"))}


def _open(job: Job, folder: str, side: str) -> _Opened:
    try:
        return _load(job, folder)
    except AgentFailure as failure:
        error = failure.error
        raise AgentFailure(error.code, f"{side.upper()}: {error.message}", error.mend) from failure


def _load(job: Job, folder: str) -> _Opened:
    runtime = import_runtime(job.execution.runtime)
    feeds = Feeds(_arrays(job.data.inputs, folder) or {}, job.data.shapes)
    path = os.path.join(folder, "model", job.model.files[0].name)
    session = runtime.load(path, job.execution, feeds)
    placement.check(job.execution, session.info(), session.placement(by_running=False))
    inputs = feeds.complete(session.inputs, job.data.seed)
    session.bind(inputs)
    session.invoke()
    outputs = session.outputs()
    arrays.refuse_nan(outputs, inputs)

    def again() -> arrays.Arrays:
        fresh = runtime.load(path, job.execution, feeds)
        fresh.bind(inputs)
        fresh.invoke()
        return fresh.outputs()

    return _Opened(
        session, parity.check(outputs, _arrays(job.data.expected, folder), job.data.tolerance, again)
    )


def _arrays(ref: Optional[FileRef], folder: str) -> Optional[arrays.Arrays]:
    return None if ref is None else arrays.load(os.path.join(folder, "data", ref.name))
