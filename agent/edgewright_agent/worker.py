"""The process in which one model runs, and nothing else. Its parent outlives it and reads its words.

The parent sets the thread count's environment and the processor affinity before this process imports the
runtime. What it observed goes to ``worker.json`` in the job's folder; phases go to the event pipe.
"""

import json
import os
import sys
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from . import arrays, memory, parity, timing
from .energy_pass import energy_pass
from .failure import AgentFailure
from .feeds import Feeds
from .feeds import describe as describe_input
from .files import describe, write_json
from .phases import Phases
from .protocol import (
    AgentError,
    FileRef,
    Job,
    KernelRun,
    Memory,
    OpsPlan,
    OpsProfile,
    Parity,
    ScenarioRun,
    SessionInfo,
    Timing,
    Window,
    decode,
    encode,
)
from .reference_kernel import run_kernel
from .runtimes import Session, import_runtime, placement
from .scenarios import MONOTONIC, Stage, paced, play
from .sensors.state_watch import MEASURE

REPORT = "worker.json"
JOB = "job.json"


@dataclass(frozen=True)
class WorkerReport:
    """What the worker hands its parent: an observation, or why there is none."""

    error: Optional[AgentError] = None
    observed: "Optional[Observed]" = None


@dataclass(frozen=True)
class Observed:
    """Everything seen from inside the worker."""

    session: SessionInfo
    memory: Memory
    timing: Optional[Timing]
    windows: Tuple[Window, ...]
    parity: Optional[Parity]
    parity_reason: str
    files: Tuple[FileRef, ...]
    ops: Optional[OpsProfile] = None
    scenario: Optional[ScenarioRun] = None
    kernel_before: Optional[KernelRun] = None
    kernel_after: Optional[KernelRun] = None


def main(folder: str, event_fd: int) -> int:
    """Run the job described in ``folder`` and leave a report there; 0 when the report was written."""
    with os.fdopen(event_fd, "w", encoding="utf-8") as stream:
        try:
            with open(os.path.join(folder, JOB), encoding="utf-8") as job_file:
                job = decode(Job, json.load(job_file))
            report = WorkerReport(observed=observe(job, folder, Phases(stream)))
        except AgentFailure as failure:
            report = WorkerReport(error=failure.error)
        except MemoryError:
            report = WorkerReport(
                error=AgentError(
                    "out-of-memory", "the worker could not allocate memory", "use a smaller model"
                )
            )
        write_json(os.path.join(folder, REPORT), encode(report))
    return 0


def observe(job: Job, folder: str, phases: Phases) -> Observed:
    """Import, load, run once and compare, time, and evaluate, each phase on its own."""
    phases.enter("import")
    runtime = import_runtime(job.execution.runtime)
    feeds = Feeds(_load(job.data.inputs, folder) or {}, job.data.shapes)
    expected = _load(job.data.expected, folder)
    kernel_before = _kernel(job, phases)
    watch = memory.MemoryWatch()

    phases.enter("load")
    path = os.path.join(folder, "model", job.model.files[0].name)
    loaded: List[Session] = []
    load_ns = timing.time_once(lambda: loaded.append(runtime.load(path, job.execution, feeds)))
    session = loaded[0]
    watch.loaded()
    if job.execution.required:
        placement.check(job.execution, session.info(), session.placement(by_running=False))

    phases.enter("first")
    inputs = feeds.complete(session.inputs, job.data.seed)
    session.bind(inputs)
    first_ns = _first(session, feeds, known_to_run=expected is not None)
    outputs = session.outputs()
    arrays.refuse_nan(outputs, inputs)

    def fresh() -> Session:
        return runtime.load(path, job.execution, feeds)

    def again() -> arrays.Arrays:
        other = fresh()
        other.bind(inputs)
        other.invoke()
        return other.outputs()

    likeness = parity.check(outputs, expected, job.data.tolerance, again)

    stage = Stage(job, folder, session, inputs, outputs, likeness.parity is not None, fresh)
    measured, scenario = _measure(stage, phases, load_ns, first_ns)
    seen = watch.seen()
    kernel_after = _kernel(job, phases)
    windows = energy_pass(session.invoke, job.energy, phases.enter, _steady(stage)) if measured else ()
    if likeness.reopened:
        reason = "a second session was open to see whether the model repeats itself"
        seen = replace(seen, peak_bytes=None, peak_method=reason)

    phases.enter("placement")
    info = _placed(session, job)
    ops = _profile(session, job.profile_ops, phases)
    files = _keep(folder, inputs, outputs) if job.data.keep_outputs else []
    if job.data.evaluation is not None:
        phases.enter("evaluate")
        files.append(_evaluate(session, _load(job.data.evaluation, folder) or {}, folder, job))
    return Observed(
        session=info,
        memory=_with_arena(seen, session) if measured else seen,
        timing=measured,
        windows=windows,
        parity=likeness.parity,
        parity_reason=likeness.reason,
        files=tuple(files),
        ops=ops,
        scenario=scenario,
        kernel_before=kernel_before,
        kernel_after=kernel_after,
    )


def _placed(session: Session, job: Job) -> SessionInfo:
    """What ran with the share of nodes each provider took, now that nothing is measured any more."""
    info = session.info()
    is_needed = job.scenario is not None or bool(job.execution.required)
    where = session.placement(by_running=is_needed)
    placement.check(job.execution, info, where)
    return replace(info, placement=where)


def _kernel(job: Job, phases: Phases) -> Optional[KernelRun]:
    """How fast the device is now, around what is timed and never within."""
    if job.scenario is None:
        return None
    phases.enter("kernel")
    return run_kernel()


def _profile(session: Session, plan: Optional[OpsPlan], phases: Phases) -> Optional[OpsProfile]:
    if plan is None:
        return None
    phases.enter("profile")
    return session.profile_ops(plan)


def _load(ref: Optional[FileRef], folder: str) -> Optional[Dict[str, Any]]:
    return None if ref is None else arrays.load(os.path.join(folder, "data", ref.name))


def _first(session: Session, feeds: Feeds, *, known_to_run: bool) -> int:
    """Time the first inference. What fails here with the user's sizes or values is most often due to them."""
    try:
        return timing.time_once(session.invoke)
    except AgentFailure as failure:
        by_position = any(key.startswith("#") for key in feeds.arrays)  # then no person gave them
        if known_to_run or by_position or failure.error.code != "model-rejected":
            raise
        sizes = feeds.sizes(session.inputs)
        fed = ", ".join(describe_input(spec, sizes[spec.name]) for spec in session.inputs)
        chosen = bool(feeds.arrays or feeds.shapes)
        raise AgentFailure(
            "invalid-input" if chosen else "model-rejected",
            f"the model cannot run on its inputs {fed}: {failure.error.message}",
            "give other sizes with --shape, or real values with --input",
        ) from None


def _measure(
    stage: Stage, phases: Phases, load_ns: int, first_ns: int
) -> Tuple[Optional[Timing], Optional[ScenarioRun]]:
    if stage.job.scenario is None:
        return None, None
    phases.enter(MEASURE)
    played = play(stage)
    timed = Timing(load_ns, first_ns, played.warmup_ns, played.latency_ns, played.duration_ns, played.capped)
    return timed, played.run


def _steady(stage: Stage) -> Callable[[], object]:
    """What the energy pass measures: inferences at the scenario's own rate, if it has one."""
    pace = stage.job.scenario.pace if stage.job.scenario else None
    invoke = stage.session.invoke
    return paced(invoke, pace, MONOTONIC) if pace else invoke


def _with_arena(seen: Memory, session: Session) -> Memory:
    """Ask the runtime last of all, since that may take as much memory as the model takes already."""
    taken = (seen.peak_bytes or seen.loaded_bytes) - seen.baseline_bytes
    free = memory.available_bytes()
    if free is not None and free < 2 * taken:
        held, note = None, f"{free} bytes free are too few to load the model once more"
    else:
        held, note = session.arena()
    return replace(seen, arena_bytes=held, notes={**seen.notes, "arena": note})


def _keep(folder: str, inputs: Dict[str, Any], outputs: Dict[str, Any]) -> List[FileRef]:
    kept = []
    for name, values in (("inputs.npz", inputs), ("outputs.npz", outputs)):
        path = os.path.join(folder, name)
        arrays.save(path, values)
        kept.append(describe(path))
    return kept


def _evaluate(session: Session, samples: Dict[str, Any], folder: str, job: Job) -> FileRef:
    """Feed the evaluation samples one by one and keep all outputs, samples first."""
    counts = {name: len(values) for name, values in samples.items()}
    if len(set(counts.values())) != 1:
        raise AgentFailure("invalid-input", f"evaluation inputs differ in their number of samples: {counts}")
    collected: Dict[str, List[Any]] = {}
    size_bytes = 0
    for index in range(next(iter(counts.values()))):
        sample = {name: values[index][None] for name, values in samples.items()}
        session.bind(Feeds(sample).complete(session.inputs, job.data.seed))
        session.invoke()
        for name, value in session.outputs().items():
            collected.setdefault(name, []).append(value)
            size_bytes += value.nbytes
        if size_bytes > job.limits.output_bytes:
            raise AgentFailure(
                "model-rejected",
                f"evaluation outputs exceed {job.limits.output_bytes} bytes",
                "evaluate on fewer samples",
            )
    path = os.path.join(folder, "evaluation.npz")
    arrays.save(path, {name: _join(values) for name, values in collected.items()})
    return describe(path)


def _join(values: Sequence[Any]) -> Any:
    """Samples along the first axis: in place of a batch axis of one, or in front where there is none."""
    import numpy as np

    has_batch = all(value.ndim and value.shape[0] == 1 for value in values)
    return np.concatenate(values) if has_batch else np.stack(values)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
