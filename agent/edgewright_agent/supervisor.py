"""The parent of a worker: prepares the job, samples power for it, and tells what became of it."""

import fcntl
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from . import engines
from .child import Child, Ending
from .failure import AgentFailure
from .files import Store, write_json
from .protocol import Energy, Environment, FileRef, Job, RunResult, Timing, decode, encode
from .sensors.environment import read_environment
from .sensors.power import choose
from .sensors.power.sampler import PowerSampler
from .worker import JOB, REPORT, Observed, WorkerReport

Emit = Callable[[Dict[str, Any]], None]

RESULT = "result.json"
#: The sampler runs from the first of these phases to the second.
_SAMPLED = ("idle-before", "energy-done")


def run(job: Job, store: Store, emit: Emit) -> RunResult:
    """Run a job in a worker of its own and return what was observed.

    A job whose result is already here is not run again. One job runs at a time under one root, since two
    would disturb each other's numbers.

    Raises:
        AgentFailure: the reason why there is no result.
    """
    folder = store.job_folder(job.job_id)
    finished = os.path.join(folder, RESULT)
    with _hold(store.root, job.job_id):
        if os.path.isfile(finished):
            with open(finished, encoding="utf-8") as stream:
                return decode(RunResult, json.load(stream))
        _prepare(job, store, folder)
        sensor, no_sensor = choose(job.energy.sensors) if job.energy else (None, "energy was not asked for")
        effective = engines.with_cache(job if sensor else _without_energy(job), store.engines)
        built = engines.Engines(effective, store.engines)
        build_ns = built.build(lambda first: _timing(first, folder, emit))
        write_json(os.path.join(folder, JOB), encode(effective))
        before = read_environment()
        watch = _Watch(emit, PowerSampler(sensor) if sensor else None)
        ending = Child(folder, job.execution, job.limits).run(watch.on_event, emit)
        after = read_environment()
        observed = _observed(folder, ending)
        energy = watch.energy(observed.windows, no_sensor)
        observed = _with_engines(observed, build_ns, built.notes())
        result = _result(job, observed, energy, (before, after))
        shutil.rmtree(os.path.join(folder, "model"))
        shutil.rmtree(os.path.join(folder, "data"))
        write_json(finished, encode(result))
        return result


class _Watch:
    """Forwards the worker's phases and runs the power sampler in those that are for it."""

    def __init__(self, emit: Emit, sampler: Optional[PowerSampler]) -> None:
        self._emit = emit
        self._sampler = sampler

    def on_event(self, event: Dict[str, Any]) -> None:
        """Take one event of the worker's."""
        if self._sampler and event.get("name") == _SAMPLED[0]:
            self._sampler.start()
        if self._sampler and event.get("name") == _SAMPLED[1]:
            self._sampler.stop()
        self._emit(event)

    def energy(self, windows: Tuple[Any, ...], no_sensor: str) -> Energy:
        """The trace, or why there is none."""
        if self._sampler is None:
            return Energy(None, (), no_sensor)
        trace, reason = self._sampler.result()
        return Energy(trace, windows, reason)


@contextmanager
def _hold(root: str, job_id: str) -> Iterator[None]:
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


def _prepare(job: Job, store: Store, folder: str) -> None:
    """Lay out the job's folder anew: what an interrupted try left is removed first."""
    if os.path.isdir(folder):
        shutil.rmtree(folder)
    for name, refs in (("model", list(job.model.files)), ("data", _data_files(job))):
        os.makedirs(os.path.join(folder, name), mode=0o700)
        for ref in refs:
            store.place(ref, os.path.join(folder, name))


def _data_files(job: Job) -> List[FileRef]:
    return [ref for ref in (job.data.inputs, job.data.expected, job.data.evaluation) if ref is not None]


def _without_energy(job: Job) -> Job:
    return replace(job, energy=None)


def _timing(job: Job, folder: str, emit: Emit) -> Optional[Timing]:
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
    )
