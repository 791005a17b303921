"""A second model of a job: loaded, fed, run once, and held to what the host computed."""

import os
from typing import Dict

from .. import parity
from ..failure import AgentFailure
from ..feeds import Feeds
from ..layout import COMPANIONS, FOLDERS
from ..protocol import Companion
from ..runtimes import Session, import_runtime, placement
from .stage import Stage


def open_companion(stage: Stage, number: int, companion: Companion) -> Session:
    """Companion ``number`` of the job, ready to be timed.

    Raises:
        AgentFailure: with its file's name in front.
    """
    name = companion.model.files[0].name
    try:
        return _open(stage, os.path.join(COMPANIONS, str(number)), companion)
    except AgentFailure as failure:
        error = failure.error
        raise AgentFailure(error.code, f"{name}: {error.message}", error.mend) from failure


def _open(stage: Stage, folder: str, companion: Companion) -> Session:
    wanted, execution = companion.data, companion.execution
    models, where = (os.path.join(folder, name) for name in FOLDERS)
    feeds = Feeds(stage.arrays(where, wanted.inputs), wanted.shapes)
    path = os.path.join(stage.folder, models, companion.model.files[0].name)
    runtime = import_runtime(execution.runtime)
    session = runtime.load(path, execution, feeds)
    placement.check(execution, session.info(), session.placement(by_running=False))
    inputs = feeds.complete(session.inputs, wanted.seed)
    session.bind(inputs)
    session.invoke()

    def again() -> Dict[str, object]:
        fresh = runtime.load(path, execution, feeds)
        fresh.bind(inputs)
        fresh.invoke()
        return fresh.outputs()

    expected = stage.arrays(where, wanted.expected) if wanted.expected else None
    parity.check(session.outputs(), expected, wanted.tolerance, again)
    return session
