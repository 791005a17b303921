"""Jobs that run by themselves: what is submitted, and what the spool tells of it.

A host submits a job and follows it. When the host vanishes the job goes on, and what became of it waits on
the device until a host acknowledges it. A job's id stands for the job: submitted again it is followed again
and never runs twice.
"""

from dataclasses import dataclass
from typing import Optional

from .protocol import Job, WireError
from .protocol_pair import PairJob

STATES = ("waiting", "running", "finished", "failed", "lost")


@dataclass(frozen=True)
class Submission:
    """One job, of either kind.

    Attributes:
        owner: who asks, for people: whoever finds the device busy is told.
        label: what it is, for people.
        origin: the work it is part of, as its host names it, to find all jobs of that work again.
        wait_s: how long to wait for another job to end before giving up as busy.
        is_tied: it ends with the connection, as for work that nobody would come back for.
    """

    job: Optional[Job] = None
    pair: Optional[PairJob] = None
    owner: str = ""
    label: str = ""
    origin: str = ""
    wait_s: float = 0.0
    is_tied: bool = False


@dataclass(frozen=True)
class JobInfo:
    """A job in the spool. ``size_bytes`` is what its folder takes, ``age_s`` by the device's own clock."""

    job_id: str
    owner: str
    label: str
    state: str
    size_bytes: int
    age_s: float
    origin: str = ""


def id_of(submission: Submission) -> str:
    """The id of the one job that is in it.

    Raises:
        WireError: there is none, or there are two.
    """
    pair = submission.pair
    jobs = [one for one in (submission.job, pair.job if pair else None) if one is not None]
    if len(jobs) != 1:
        raise WireError(f"a submission holds one job, not {len(jobs)}")
    return jobs[0].job_id
