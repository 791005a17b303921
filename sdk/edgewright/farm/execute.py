"""One cell from end to end: choose the runtime, build, run on the device, judge; always a row."""

from __future__ import annotations

import datetime
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewright.artifact import Artifact, Quality, sha256_file
from edgewright.config import did_you_mean
from edgewright.device import Device, OnEvent
from edgewright.errors import (
    ConfigError,
    DeviceError,
    EdgewrightError,
    MissingRuntime,
    TransientDeviceError,
    UnsupportedError,
)
from edgewright.profile import DeviceProfile
from edgewright.recipe import Recipe
from edgewright.row import ArtifactInfo, Cell, Failed, Outcome, Row, Skipped
from edgewright.tensorfile import read_arrays
from edgewright_agent import protocol as wire

from .effort import Effort
from .metered import FoundMeter, run_metered
from .providers import Asked
from .scenario import Driving
from .subject import Subject

#: ``tflite`` stands for the first of these that profile and device both have.
ANY_TFLITE = "tflite"
RUNTIME_CHOICES = (*wire.RUNTIMES, ANY_TFLITE)


@dataclass(frozen=True)
class Settings:
    """What holds for every cell of a run. ``threads`` 0 stands for the device's performance cores.

    ``asked`` names providers; without any, each profile's order is tried. ``effort`` is the preset as
    ``driving`` needs it, see :meth:`~edgewright.farm.scenario.Driving.effort`.
    """

    effort: Effort
    threads: int = 0
    evaluate_on_device: bool = True
    timeout_s: float = 1800.0
    asked: Asked = field(default_factory=Asked)
    driving: Driving = field(default_factory=Driving)


@dataclass(frozen=True)
class Bench:
    """An open device with what it is and what it said of itself."""

    device: Device
    profile: DeviceProfile
    facts: wire.Device
    meter: FoundMeter | None = None


@dataclass(frozen=True)
class Task:
    """A cell with what it takes to run it; ``recipe`` is None for a bare model."""

    subject: Subject
    recipe: Recipe | None
    cell: Cell


@dataclass(frozen=True)
class Second:
    """A second model of the same job: another that runs at once, or the same exported for one batch size."""

    artifact: Artifact
    runtime: str
    batch: int = 0


@dataclass(frozen=True)
class Ready:
    """A cell whose file is built and whose runtime is on the device."""

    subject: Subject
    cell: Cell
    artifact: Artifact
    started_at: str
    notes: tuple[str, ...] = ()
    seconds: tuple[Second, ...] = ()

    def row(self, outcome: Outcome, settings: Settings, **facts: Any) -> Row:
        """The cell's row; ``facts`` are further fields of :class:`~edgewright.row.Row`."""
        artifact = self.artifact
        return Row(
            cell=self.cell,
            outcome=outcome,
            preset=settings.effort.name,
            scenario=settings.driving.kind,
            started_at=self.started_at,
            artifact=ArtifactInfo(artifact.sha256, artifact.size_bytes, artifact.format),
            notes=self.notes,
            **facts,
        )


def prepare(task: Task, bench: Bench, settings: Settings) -> Ready | Row:
    """Choose the runtime and build the file; a row when that cannot be done."""
    started_at = _now()
    cell = task.cell
    try:
        _threads(settings, bench)
        runtime = choose_runtime(cell.runtime, task.subject, bench)
        cell = replace(cell, runtime=runtime)
        artifact, notes = task.subject.artifact(task.recipe, bench.profile, format_of(runtime))
        batches, reasons = _batches(task, runtime, bench, settings, artifact)
        seconds = (*_others(bench, settings), *batches)
    except EdgewrightError as error:
        return Row(cell, outcome_of(error), settings.effort.name, started_at, scenario=settings.driving.kind)
    if artifact.provenance:
        cell = replace(cell, workload=artifact.provenance.workload)
    return Ready(task.subject, cell, artifact, started_at, (*notes, *reasons), seconds)


def _others(bench: Bench, settings: Settings) -> Iterator[Second]:
    """The models that run beside the task's own."""
    for other in settings.driving.also:
        chosen = choose_runtime(other.default_runtime, other, bench)
        artifact, _ = other.artifact(None, bench.profile, format_of(chosen))
        yield Second(artifact, chosen)


def _batches(
    task: Task, runtime: str, bench: Bench, settings: Settings, native: Artifact
) -> tuple[list[Second], list[str]]:
    """A file for every batch size but the one that the task's own was made for; and why there is none."""
    made, notes = [], []
    sizes = settings.driving.batches
    own = _first_axis(native) if sizes else 0
    for size in sizes:
        try:
            if size != own:
                found = task.subject.for_batch(size, task.recipe, bench.profile, format_of(runtime))
                made += [Second(found, runtime, size)] if found else []
        except EdgewrightError as error:
            notes.append(f"batch {size}: {error}")
    return made, notes


def _first_axis(artifact: Artifact) -> int:
    """The size of the first input's first axis; 0 where nobody knows."""
    arrays = read_arrays(artifact.inputs).values() if artifact.inputs else ()
    return next((int(array.shape[0]) for array in arrays if array.ndim), 0)


def launch_once(
    ready: Ready, bench: Bench, settings: Settings, *, evaluate: bool, on_event: OnEvent
) -> tuple[wire.RunResult, Quality | None]:
    """One fresh process on the device; with the score of what it computed, when asked and possible."""
    evaluating = evaluate and settings.evaluate_on_device and ready.artifact.evaluation is not None
    job, files = make_job(
        ready.artifact, ready.cell.runtime, bench, settings, evaluate=evaluating, seconds=ready.seconds
    )
    result = run_metered(bench.device, job, files, on_event, bench.meter)
    if result.scenario and result.scenario.batches and not any(b.latency_ns for b in result.scenario.batches):
        raise UnsupportedError("; ".join(dict.fromkeys(b.reason for b in result.scenario.batches)))
    return result, _judge(result, ready, bench.device) if evaluating else None


def row_without_device(cell: Cell, error: DeviceError, settings: Settings) -> Row:
    """The row of a cell whose device could not be opened."""
    return Row(cell, outcome_of(error), settings.effort.name, _now(), scenario=settings.driving.kind)


def outcome_of(error: EdgewrightError) -> Failed | Skipped:
    """What became of a cell that an error ended."""
    if isinstance(error, UnsupportedError):
        return Skipped(str(error))
    code = error.code if isinstance(error, DeviceError) else type(error).__name__
    return Failed(str(error), code, retryable=isinstance(error, TransientDeviceError))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def check_runtime(name: str) -> str:
    """``name`` when it is one of :data:`RUNTIME_CHOICES`, else a ConfigError with the nearest."""
    if name not in RUNTIME_CHOICES:
        raise ConfigError(f"no runtime is called {name!r}", mend=did_you_mean(name, RUNTIME_CHOICES))
    return name


def format_of(runtime: str) -> str:
    """The file format a runtime executes."""
    return next(name for name, runtimes in wire.FORMATS.items() if runtime in runtimes)


def choose_runtime(asked: str, subject: Subject, bench: Bench) -> str:
    """The runtime to use on this device.

    Raises:
        UnsupportedError: the profile says that the device cannot have it, or it cannot run this file.
        MissingRuntime: the device could have it and does not.
    """
    candidates = wire.FORMATS[ANY_TFLITE] if asked == ANY_TFLITE else (asked,)
    subject.check_format(format_of(candidates[0]))
    possible = [name for name in candidates if name in bench.profile.runtimes]
    if not possible:
        raise UnsupportedError(
            f"{bench.profile.name} has no {asked}: its profile lists {', '.join(bench.profile.runtimes)}"
        )
    found = {runtime.name: runtime for runtime in bench.facts.runtimes}
    for name in possible:
        if name in found and not found[name].reason:
            return name
    reasons = "; ".join(f"{name}: {found[name].reason or 'not found'}" for name in possible if name in found)
    raise MissingRuntime(
        bench.device.target.name,
        f"no {asked} on the device: {reasons or 'not found'}",
        mend=f"pip install {possible[0]} there",
    )


def make_job(
    artifact: Artifact,
    runtime: str,
    bench: Bench,
    settings: Settings,
    *,
    evaluate: bool,
    seconds: Sequence[Second] = (),
) -> tuple[wire.Job, dict[str, Path]]:
    """The job of one launch, and where each file it names is on this host."""
    files: dict[str, Path] = {}

    def refer(path: Path, name: str) -> wire.FileRef:
        ref = wire.FileRef(name, sha256_file(path), path.stat().st_size)
        files[ref.sha256] = path
        return ref

    def data(made: Artifact, *, evaluate: bool) -> wire.Data:
        def array(path: Path | None, name: str) -> wire.FileRef | None:
            return refer(path, f"{name}.npz") if path else None

        return wire.Data(
            inputs=array(made.inputs, "inputs"),
            expected=array(made.expected, "expected"),
            evaluation=array(made.evaluation, "evaluation") if evaluate else None,
            tolerance=made.tolerance,
            shapes=dict(made.shapes),
        )

    def model(made: Artifact) -> wire.Model:
        return wire.Model(
            tuple(refer(path, path.name) for path in (made.path, *made.extra_files)), made.format
        )

    def execution(runtime: str) -> wire.Execution:
        return settings.asked.execution(runtime, bench.profile, _threads(settings, bench))

    identity = uuid.uuid4()
    driving, effort = settings.driving, settings.effort
    job = wire.Job(
        job_id=identity.hex,
        model=model(artifact),
        execution=execution(runtime),
        data=data(artifact, evaluate=evaluate),
        scenario=driving.scenario(effort, identity.int),
        energy=driving.energy(effort.energy(bench.profile.power.sensors)),
        limits=wire.Limits(timeout_s=settings.timeout_s + driving.seconds(effort)),
        companions=tuple(
            wire.Companion(model(s.artifact), execution(s.runtime), data(s.artifact, evaluate=False), s.batch)
            for s in seconds
        ),
    )
    return job, files


def _threads(settings: Settings, bench: Bench) -> int:
    """Performance cores unless asked otherwise, and never more than there are (docs/measuring.md, R11)."""
    cores = bench.facts.cpu_count
    if settings.threads > cores:
        raise ConfigError(
            f"{bench.device.target.name}: {settings.threads} threads asked for, the device has {cores} cores"
        )
    return settings.threads or settings.driving.threads(bench.profile.hardware.threads(cores))


def _judge(result: wire.RunResult, ready: Ready, device: Device) -> Quality | None:
    """Score what the device computed for the evaluation samples."""
    ref = next((file for file in result.files if file.name == "evaluation.npz"), None)
    if ref is None:
        return None
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        path = Path(folder) / ref.name
        device.collect(result.job_id, ref, path)
        return ready.subject.score(read_arrays(path), ready.artifact)
