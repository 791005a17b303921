"""The parent of a worker: prepares the job, samples power for it, and tells what became of it."""

import json
import os
from dataclasses import replace
from typing import Any, Callable, Dict, Optional, Tuple

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


def run(job: Job, store: Store, emit: Emit) -> RunResult:
    """Run a job in a worker of its own and return what was observed.

    Whoever calls it holds the device (see :mod:`.turn`).

    Raises:
        AgentFailure: the reason why there is no result.
    """
    folder = store.job_folder(job.job_id)
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
    return replace(_result(job, observed, energy, (before, *during, after)), watching=watching)


def _without_energy(job: Job) -> Job:
    return replace(job, energy=None)


def timing_of(job: Job, folder: str, emit: Emit) -> Optional[Timing]:
    """Run a job in a worker before the measured one, and forget everything but its times."""
    write_json(os.path.join(folder, JOB), encode(job))
    ending = Child(folder, job.execution, job.limits).run(emit, emit)
    return _observed(folder, ending).timing


def _observed(folder: str, ending: Ending) -> Observed:
    """The worker's report; its own words first, else the way it ended."""
    path = os.path.join(folder, REPORT)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as stream:
            report = decode(WorkerReport, json.load(stream))
        os.unlink(path)  # its space may be needed for the outcome
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
