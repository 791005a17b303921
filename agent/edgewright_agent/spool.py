"""Jobs on the device: submitted once, run without the host, kept until a host has acknowledged them.

ROOT/jobs/ID/request.json    what was submitted, and under which boot of the device
and what its process keeps there, see detached.py, recording.py and outcome.py

Everything that decides is fsynced before it counts, so that a power cut leaves a job that is either known
with its outcome, or known as lost.
"""

import fcntl
import json
import os
import shutil
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Optional

from . import outcome
from .detached import ALIVE, boot_id, detach, end, is_alive, last_words
from .failure import AgentFailure
from .files import sync_folder, write_json
from .guard import error_event, guarded
from .layout import clear
from .protocol import AgentError, decode, encode
from .protocol_spool import JobInfo, Submission, id_of
from .recording import Event, Recorder, is_waiting, open_events, whole_lines
from .store import Store

Emit = Callable[[Event], None]
#: Does the job of a submission and returns its last event; never raises.
Work = Callable[[Submission, Emit], Event]

REQUEST = "request.json"

#: What the spool holds at most of what no host has acknowledged.
MAX_JOBS = 2000
MAX_BYTES = 1 << 30
_FOLLOW_S = 0.25


@dataclass(frozen=True)
class Request:
    """A submission as it is kept."""

    submission: Submission
    boot_id: str


class Spool:
    """The jobs under one store.

    Args:
        store: whose folder of jobs it is.
        work: does one job.
    """

    def __init__(self, store: Store, work: Work) -> None:
        self._store = store
        self._work = work

    def submit(self, submission: Submission, emit: Emit) -> Event:
        """Start the job unless it was started before, follow it, and return its last event.

        Raises:
            AgentFailure: ``disk-full`` when the spool is, ``protocol`` for an id that stands for another job.
        """
        job_id = id_of(submission)
        folder = self._store.job_folder(job_id)
        waker: Optional[int] = None
        with self._locked():
            if os.path.isfile(os.path.join(folder, REQUEST)):
                known = _request(folder)
                if known is None or what_runs(known.submission) != what_runs(submission):
                    raise AgentFailure("protocol", f"{job_id} is the id of another job on this device")
            else:
                self._check_room()
                waker = self._start(folder, submission)
        try:
            return self._follow(folder, emit, waker)
        finally:
            if waker is not None:
                os.close(waker)

    def follow(self, job_id: str, emit: Emit) -> Event:
        """What happened so far, what happens from now on, and the last event.

        Raises:
            AgentFailure: ``protocol`` when there is no such job.
        """
        folder = self._store.job_folder(job_id)
        if not os.path.isfile(os.path.join(folder, REQUEST)):
            raise AgentFailure("protocol", f"no job {job_id} is on this device")
        return self._follow(folder, emit, None)

    def jobs(self) -> List[JobInfo]:
        """All that are kept, the oldest first."""
        with self._locked():
            found = [self._info(folder) for folder in self._folders()]
        return sorted(found, key=lambda info: -info.age_s)

    def acknowledge(self, job_id: str) -> None:
        """Forget a job that has ended; one that is not known is forgotten already.

        Raises:
            AgentFailure: ``busy`` while it runs.
        """
        folder = self._store.job_folder(job_id)
        with self._locked():
            if is_alive(folder) and not outcome.has_outcome(folder):
                raise AgentFailure("busy", f"job {job_id} is still running", "wait for it, or cancel it")
            if os.path.isdir(folder):
                shutil.rmtree(folder)
                sync_folder(self._store.jobs)

    def cancel(self, job_id: str) -> None:
        """End a job, wherever it is, and forget it."""
        folder = self._store.job_folder(job_id)
        if is_alive(folder):
            end(folder)
        self.acknowledge(job_id)

    def is_idle(self) -> bool:
        """Whether no job runs or waits."""
        return not any(is_alive(folder) for folder in self._folders())

    def _start(self, folder: str, submission: Submission) -> int:
        """Leave the job to a process of its own; what is readable when something happened."""
        if os.path.isdir(folder):
            shutil.rmtree(folder)  # a power cut came before its request was on the disk
        os.makedirs(folder, mode=0o700)
        alive = os.open(os.path.join(folder, ALIVE), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX)
            outcome.reserve(folder)
            write_json(os.path.join(folder, REQUEST), encode(Request(submission, boot_id())))
            sync_folder(self._store.jobs)
            reader, writer = os.pipe()
            sys.stdout.flush()
            if os.fork() == 0:
                os.close(reader)
                self._live(folder, submission, alive, writer)
            os.close(writer)
        except OSError:
            shutil.rmtree(folder)
            raise
        finally:
            os.close(alive)  # the lock stays with the process that has it too
        return reader

    def _live(self, folder: str, submission: Submission, alive: int, waker: int) -> None:
        """The job's process: leaves the host's session, does the job, records its end. Never returns."""
        status = 1
        try:
            detach(folder, keep=(alive, waker), is_tied=submission.is_tied)
            os.write(alive, str(os.getpid()).encode("ascii"))
            outcome.leave(folder, guarded(lambda: self._recorded(folder, submission, waker)))
            status = 0
        except Exception:  # noqa: BLE001 - the last line of defence: the log is read when the job is found lost
            os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        finally:
            os._exit(status)

    def _recorded(self, folder: str, submission: Submission, waker: int) -> Event:
        with Recorder(folder, waker) as recorder:
            return self._work(submission, recorder.add)

    def _follow(self, folder: str, emit: Emit, waker: Optional[int]) -> Event:
        """Tell the events as they come; ``waker`` is readable after each."""
        with open_events(folder) as events:
            while True:
                # in this order: what was recorded before the end is told before the end
                alive = is_alive(folder)
                ended = outcome.has_outcome(folder)
                for event in whole_lines(events):
                    emit(event)
                if ended:
                    return outcome.outcome_of(folder)
                if not alive:
                    return self._lost(folder)
                _wait(waker)

    def _lost(self, folder: str) -> Event:
        """The end of a job whose process is gone without a word."""
        with self._locked():
            if not os.path.isdir(folder):
                raise AgentFailure("lost", "the job was cancelled", "run it again")
            if outcome.has_outcome(folder):
                return outcome.outcome_of(folder)
            request = _request(folder)
            rebooted = request is not None and request.boot_id != boot_id()
            why = "the device was restarted" if rebooted else "the agent was killed"
            said = last_words(folder)
            event = error_event(AgentError("lost", f"{why} while the job ran{said}", "run it again"))
            clear(folder)
            outcome.leave(folder, event)
            return event

    def _info(self, folder: str) -> JobInfo:
        request = _request(folder)
        told = request.submission if request else Submission(label="a job of another version of the agent")
        begun_s = os.stat(os.path.join(folder, REQUEST)).st_mtime
        return JobInfo(
            os.path.basename(folder),
            told.owner,
            told.label,
            self._state(folder),
            _size(folder),
            max(0.0, time.time() - begun_s),
            told.origin,
        )

    def _state(self, folder: str) -> str:
        if outcome.has_outcome(folder):
            return "failed" if outcome.outcome_of(folder).get("event") == "error" else "finished"
        if not is_alive(folder):
            return "lost"
        return "waiting" if is_waiting(folder) else "running"

    def _folders(self) -> Iterator[str]:
        for name in sorted(os.listdir(self._store.jobs)):
            folder = os.path.join(self._store.jobs, name)
            if os.path.isfile(os.path.join(folder, REQUEST)):
                yield folder

    def _check_room(self) -> None:
        folders = list(self._folders())
        size = sum(map(_size, folders))
        if len(folders) >= MAX_JOBS or size >= MAX_BYTES:
            raise AgentFailure(
                "disk-full",
                f"{len(folders)} jobs of {size} bytes wait on the device for a host to take them up",
                "edgewright device attach takes them up, edgewright device clean removes them",
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold what decides whether a job exists."""
        handle = os.open(os.path.join(self._store.root, "spool.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _request(folder: str) -> Optional[Request]:
    """What was submitted; None where another version of the agent wrote it in its own way."""
    try:
        with open(os.path.join(folder, REQUEST), encoding="utf-8") as stream:
            return decode(Request, json.load(stream))
    except ValueError:
        return None


def what_runs(submission: Submission) -> Any:
    """What makes a submission the same as another, whoever submits it."""
    return submission.job, submission.pair


def _wait(waker: Optional[int]) -> None:
    """Until something happened: nobody looks meanwhile, so that nothing disturbs what is timed.

    Whoever took the job up later has nothing to be woken by, and looks now and then.
    """
    if waker is None:
        time.sleep(_FOLLOW_S)
    elif not os.read(waker, 1 << 16):
        time.sleep(0.01)  # the other end is closed: the process is ending, and the lock will tell


def _size(folder: str) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a running job tidies up meanwhile
                total += os.lstat(os.path.join(where, name)).st_size
    return total
