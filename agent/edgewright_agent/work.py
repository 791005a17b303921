"""What a job's own process does: wait for its turn, then let the supervisor of its kind run it.

What that takes is imported when a job runs, since other commands need only know that somebody could.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict

from .codec import encode
from .guard import guarded
from .turn import turn

if TYPE_CHECKING:
    from .protocol import Job
    from .protocol_pair import PairJob
    from .protocol_spool import Submission
    from .store import Store

Event = Dict[str, Any]
Emit = Callable[[Event], None]


def done(submission: "Submission", store: "Store", emit: Emit) -> Event:
    """Run one job and return its last event."""

    def run() -> Event:
        from .manifest import check_manifests

        pair, job = submission.pair, submission.pair.job if submission.pair else submission.job
        assert job is not None
        check_manifests(job, store.root)
        whose = f"{submission.owner or 'somebody'}: {submission.label or 'a job'}"
        with turn(store.root, whose, submission.wait_s, emit):
            return _job(job, store, emit) if pair is None else _pair(pair, store, emit)

    return guarded(run)


def _job(job: "Job", store: "Store", emit: Emit) -> Event:
    from . import supervisor
    from .conditions import held

    with held(job.conditions, store.root, emit) as kept:
        result = supervisor.run(job, store, emit)
    return {"event": "result", "result": encode(replace(result, conditions=kept.told()))}


def _pair(pair: "PairJob", store: "Store", emit: Emit) -> Event:
    from . import pair_supervisor
    from .conditions import held

    with held(pair.job.conditions, store.root, emit) as kept:
        result = pair_supervisor.run(pair, store, emit)
    return {"event": "pair", "result": encode(replace(result, conditions=kept.told()))}
