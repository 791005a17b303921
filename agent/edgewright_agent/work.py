"""What a job's own process does: wait for its turn, then let the supervisor of its kind run it."""

from typing import Any, Callable, Dict

from .guard import guarded
from .protocol import encode
from .protocol_spool import Submission
from .store import Store
from .turn import turn


def done(submission: Submission, store: Store, emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """Run one job and return its last event."""

    def run() -> Dict[str, Any]:
        whose = f"{submission.owner or 'somebody'}: {submission.label or 'a job'}"
        with turn(store.root, whose, submission.wait_s, emit):
            if submission.pair is not None:
                from . import pair_supervisor

                return {"event": "pair", "result": encode(pair_supervisor.run(submission.pair, store, emit))}
            from . import supervisor

            assert submission.job is not None
            return {"event": "result", "result": encode(supervisor.run(submission.job, store, emit))}

    return guarded(run)
