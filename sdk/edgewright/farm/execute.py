"""One cell from end to end: choose the runtime, build, run on the device, judge; always a row."""

from __future__ import annotations

import datetime
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgewright.artifact import Artifact, Quality, sha256_file
from edgewright.config import did_you_mean
from edgewright.device import Device
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
from edgewright.row import ArtifactInfo, Cell, Failed, Measured, Outcome, Row, Skipped
from edgewright.tensorfile import read_arrays
from edgewright_agent import protocol as wire

from .effort import Effort
from .subject import Subject

#: ``tflite`` stands for the first of these that profile and device both have.
ANY_TFLITE = "tflite"
RUNTIME_CHOICES = (*wire.RUNTIMES, ANY_TFLITE)

#: Told what is going on: a short text, and the event when it comes from the agent.
OnStep = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Settings:
    """What holds for every cell of a run. ``threads`` 0 stands for the device's performance cores."""

    effort: Effort
    threads: int = 0
    evaluate_on_device: bool = True
    timeout_s: float = 1800.0


@dataclass(frozen=True)
class Bench:
    """An open device with what it is and what it said of itself."""

    device: Device
    profile: DeviceProfile
    facts: wire.Device


@dataclass(frozen=True)
class Task:
    """A cell with what it takes to run it; ``recipe`` is None for a bare model."""

    subject: Subject
    recipe: Recipe | None
    cell: Cell


def run_task(task: Task, bench: Bench, settings: Settings, on_step: OnStep) -> Row:
    """Measure one cell. Whatever goes wrong becomes the row's outcome; nothing is raised for it."""
    started_at = _now()
    cell, subject = task.cell, task.subject
    artifact: Artifact | None = None
    quality: Quality | None = None
    notes: tuple[str, ...] = ()
    outcome: Outcome
    try:
        runtime = choose_runtime(cell.runtime, subject, bench)
        cell = replace(cell, runtime=runtime)
        on_step("build", {})
        artifact, notes = subject.artifact(task.recipe, bench.profile, format_of(runtime))
        if artifact.provenance:
            cell = replace(cell, workload=artifact.provenance.workload)
        outcome, quality = _measure(artifact, runtime, subject, bench, settings, on_step)
    except UnsupportedError as error:
        outcome = Skipped(str(error))
    except EdgewrightError as error:
        outcome = _failed(error)
    return Row(
        cell=cell,
        outcome=outcome,
        preset=settings.effort.name,
        started_at=started_at,
        artifact=_info(artifact) if artifact else None,
        quality=quality,
        notes=notes,
    )


def row_without_device(cell: Cell, error: DeviceError, settings: Settings) -> Row:
    """The row of a cell whose device could not be opened."""
    return Row(cell, _failed(error), settings.effort.name, _now())


def _info(artifact: Artifact) -> ArtifactInfo:
    return ArtifactInfo(artifact.sha256, artifact.size_bytes, artifact.format)


def _failed(error: EdgewrightError) -> Failed:
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


def _measure(
    artifact: Artifact, runtime: str, subject: Subject, bench: Bench, settings: Settings, on_step: OnStep
) -> tuple[Measured, Quality | None]:
    launches = []
    quality: Quality | None = None
    count = settings.effort.launches
    for number in range(count):
        evaluating = number == 0 and settings.evaluate_on_device and artifact.evaluation is not None
        job, files = make_job(artifact, runtime, bench, settings, evaluate=evaluating)
        result = bench.device.run(job, files, partial(on_step, f"launch {number + 1} of {count}"))
        if evaluating:
            quality = _judge(result, artifact, subject, bench.device)
        launches.append(result)
    return Measured(tuple(launches), bench.facts), quality or artifact.quality


def make_job(
    artifact: Artifact, runtime: str, bench: Bench, settings: Settings, *, evaluate: bool
) -> tuple[wire.Job, dict[str, Path]]:
    """The job of one launch, and where each file it names is on this host."""
    files: dict[str, Path] = {}

    def refer(path: Path, name: str) -> wire.FileRef:
        ref = wire.FileRef(name, sha256_file(path), path.stat().st_size)
        files[ref.sha256] = path
        return ref

    def data(path: Path | None, name: str) -> wire.FileRef | None:
        return refer(path, name) if path else None

    job = wire.Job(
        job_id=uuid.uuid4().hex,
        model=wire.Model(
            tuple(refer(path, path.name) for path in (artifact.path, *artifact.extra_files)), artifact.format
        ),
        execution=wire.Execution(runtime, _providers(runtime, bench), _threads(settings.threads, bench)),
        data=wire.Data(
            inputs=data(artifact.inputs, "inputs.npz"),
            expected=data(artifact.expected, "expected.npz"),
            evaluation=data(artifact.evaluation, "evaluation.npz") if evaluate else None,
            tolerance=artifact.tolerance,
            shapes=dict(artifact.shapes),
        ),
        scenario=settings.effort.scenario(),
        energy=settings.effort.energy(bench.profile.power.sensors),
        limits=wire.Limits(timeout_s=settings.timeout_s),
    )
    return job, files


def _providers(runtime: str, bench: Bench) -> tuple[str, ...]:
    """The profile's providers, in its order, that this device's build of the runtime has."""
    wanted = bench.profile.runtimes[runtime].providers
    offered = next((r.providers for r in bench.facts.runtimes if r.name == runtime), ())
    return tuple(p for p in wanted if p in offered) if offered else wanted


def _threads(asked: int, bench: Bench) -> int:
    """Performance cores unless asked otherwise, and never more than there are (docs/measuring.md, R11)."""
    return asked or bench.profile.hardware.threads(bench.facts.cpu_count)


def _judge(result: wire.RunResult, artifact: Artifact, subject: Subject, device: Device) -> Quality | None:
    """Score what the device computed for the evaluation samples."""
    ref = next((file for file in result.files if file.name == "evaluation.npz"), None)
    if ref is None:
        return None
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        path = Path(folder) / ref.name
        device.collect(result.job_id, ref, path)
        return subject.score(read_arrays(path), artifact)
