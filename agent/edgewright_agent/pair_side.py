"""The process of one of two models: opened and checked, then blocks of inferences whenever it is its turn.

Its parent stops it between its turns, threads that wait for work by spinning included, so that there is
nothing but the other model meanwhile. It is told what to do, and answers, through one socket.
"""

import json
import os
import socket
from typing import Optional, Tuple

from . import arrays, parity
from .failure import AgentFailure
from .feeds import Feeds
from .files import write_json
from .pair_loop import Blocks, undisturbed
from .pair_wire import ANSWER, BLOCK, DONE, FAILED, REPORT, REQUEST, WARM_UP, SideReport, SideRequest
from .protocol import AgentError, FileRef, Job, Samples, decode, encode
from .protocol_pair import PairSide
from .runtimes import Session, import_runtime, placement


def main(folder: str, fd: int) -> int:
    """Open the model described in ``folder`` and do as told until the end; 0 when the report was written."""
    with socket.socket(fileno=fd) as wire:
        try:
            with open(os.path.join(folder, REQUEST), encoding="utf-8") as stream:
                asked = decode(SideRequest, json.load(stream))
            session, side = open_side(asked.job, folder)
            with undisturbed():
                report = SideReport(side=side, latency_ns=_play(wire, Blocks(session.invoke, asked.plan)))
        except AgentFailure as failure:
            report = SideReport(error=failure.error)
        except MemoryError:
            report = SideReport(error=AgentError("out-of-memory", "it could not allocate memory"))
        write_json(os.path.join(folder, REPORT), encode(report))
        wire.sendall(ANSWER.pack(FAILED if report.error else DONE))
    return 0


def _play(wire: socket.socket, blocks: Blocks) -> Samples:
    """Say that the model is open, then do what is asked until it is the end."""
    answer = DONE
    while True:
        wire.sendall(ANSWER.pack(answer))
        word = wire.recv(1)
        if word == BLOCK:
            answer = blocks.block()
        elif word == WARM_UP:
            blocks.warm_up()
            answer = DONE
        else:
            return blocks.latency_ns


def open_side(job: Job, folder: str) -> Tuple[Session, PairSide]:
    """Load, run once, and compare with the host.

    Raises:
        AgentFailure: it cannot be loaded or run, or computes something else than the host.
    """
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

    expected = _arrays(job.data.expected, folder)
    likeness = parity.check(outputs, expected, job.data.tolerance, again)
    return session, PairSide(session.info(), likeness.parity, likeness.reason)


def _arrays(ref: Optional[FileRef], folder: str) -> Optional[arrays.Arrays]:
    return None if ref is None else arrays.load(os.path.join(folder, "data", ref.name))
