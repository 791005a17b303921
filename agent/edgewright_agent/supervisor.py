"""The parent of a worker: prepares the job, samples power for it, and tells what became of it."""

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from . import engines
from .child import Child, Ending
from .energy_watch import EnergyWatch
from .failure import AgentFailure
from .files import write_json
from .layout import laid_out
from .protocol import Energy, Environment, Job, RunResult, Timing, decode, encode
from .sensors.environment import read_environment
from .sensors.state_watch import StateWatch
from .store import Store
from .worker import JOB, REPORT, Observed, WorkerReport

Emit = Callable[[Dict[str, Any]], None]

RESULT = "result.json"


def run(job: Job, store: Store, emit: Emit) -> RunResult:
    """Run a job in a worker of its own and return what was observed.

    A job whose result is already here is not run again. One job runs at a time under one root, since two
    would disturb each other's numbers.

    Raises:
        AgentFailure: the reason why there is no result.
    """
    folder = store.job_folder(job.job_id)
    finished = os.path.join(folder, RESULT)
    with hold(store.root, job.job_id):
        if os.path.isfile(finished):
            with open(finished, encoding="utf-8") as stream:
                return decode(RunResult, json.load(stream))
        with laid_out(job, store, folder):
            watch = EnergyWatch(job.energy, emit)
            effective = engines.with_cache(job if watch.is_wanted else _without_energy(job), store.engines)
            built = engines.Engines(effective, store.engines)
            build_ns = built.build(lambda first: timing_of(first, folder, emit))
            write_json(os.path.join(folder, JOB), encode(effective))
            states = StateWatch(job.scenario.watch_ns if job.scenario else 0)

            def on_event(event: Dict[str, Any]) -> None:
                states.on_event(event)
                watch.on_event(event)

            before = read_environment()
            with watch:
                with states:
                    ending = Child(folder, job.execution, job.limits).run(on_event, emit)
                after = read_environment()
                observed = _observed(folder, ending)
                energy = watch.energy(observed.windows)
        observed = _with_engines(observed, build_ns, built.notes(observed.session.providers))
        during, watching = states.result()
        result = _result(job, observed, energy, (before, *during, after))
        result = replace(result, watching=watching)
        write_json(finished, encode(result))
        return result


@contextmanager
def hold(root: str, job_id: str) -> Iterator[None]:
    """Hold the device for one job; whoever comes second is told who is first."""
    path = os.path.join(root, "busy")
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 200).decode("utf-8", "replace")
            raise AgentFailure(
                "busy", f"the device is running job {holder}", "try again when it has ended"
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, job_id.encode("utf-8"))
        yield
    finally:
        os.close(handle)


def _without_energy(job: Job) -> Job:
    return replace(job, energy=None)


def timing_of(job: Job, folder: str, emit: Emit) -> Optional[Timing]:
    """Run a job in a worker before the measured one, and forget everything but its times."""
    write_json(os.path.join(folder, JOB), encode(job))
    ending = Child(folder, job.execution, job.limits).run(emit, emit)
    timing = _observed(folder, ending).timing
    os.unlink(os.path.join(folder, REPORT))
    return timing


def _observed(folder: str, ending: Ending) -> Observed:
    """The worker's report; its own words first, else the way it ended."""
    path = os.path.join(folder, REPORT)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as stream:
            report = decode(WorkerReport, json.load(stream))
        if report.error is not None:
            failure = AgentFailure(report.error.code, report.error.message, report.error.mend)
            raise failure
        if report.observed is not None:
            return report.observed
    raise ending.failure()


def _with_engines(observed: Observed, build_ns: Optional[int], notes: Tuple[str, ...]) -> Observed:
    timing = observed.timing and replace(observed.timing, build_ns=build_ns)
    session = replace(observed.session, notes=(*observed.session.notes, *notes))
    return replace(observed, timing=timing, session=session)


def _result(job: Job, observed: Observed, energy: Energy, environment: Tuple[Environment, ...]) -> RunResult:
    return RunResult(
        job_id=job.job_id,
        session=observed.session,
        timing=observed.timing,
        memory=observed.memory,
        energy=energy,
        environment=environment,
        parity=observed.parity,
        parity_reason=observed.parity_reason,
        files=observed.files,
        ops=observed.ops,
        scenario=observed.scenario,
        kernel_before=observed.kernel_before,
        kernel_after=observed.kernel_after,
    )
