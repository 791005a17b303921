"""One cell from end to end: choose the runtime, build, run on the device, judge; always a row."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgewright.artifact import Artifact, Quality
from edgewright.config import did_you_mean
from edgewright.device import Device, Errand, OnEvent
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
from edgewright.temporary import work_folder
from edgewright.tensorfile import read_arrays
from edgewright_agent import protocol as wire

from .job import Bench, Second, Settings, format_of, make_job, threads_of
from .metered import run_metered
from .subject import Subject

#: ``tflite`` stands for the first of these that profile and device both have.
ANY_TFLITE = "tflite"
RUNTIME_CHOICES = (*wire.RUNTIMES, ANY_TFLITE)


@dataclass(frozen=True)
class Task:
    """A cell with what it takes to run it; ``recipe`` is None for a bare model.

    ``key`` names the cell within its run and the run among all: the ids of its jobs come from it, so that the
    same launch is the same job for the device, whichever process of this host asks.
    """

    subject: Subject
    recipe: Recipe | None
    cell: Cell
    key: str = ""


@dataclass(frozen=True)
class Launch:
    """One launch of a cell.

    Attributes:
        name: of this launch among all that ever were.
        number: for people.
        evaluate: whether the quality is still to be judged.
        job_ids: gains the id of the job that was submitted for it.
    """

    name: str
    number: int
    evaluate: bool
    job_ids: list[str]


@dataclass(frozen=True)
class Ready:
    """A cell whose file is built and whose runtime is on the device."""

    subject: Subject
    cell: Cell
    artifact: Artifact
    started_at: str
    notes: tuple[str, ...] = ()
    seconds: tuple[Second, ...] = ()
    key: str = ""

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
        threads_of(settings, bench)
        runtime = choose_runtime(cell.runtime, task.subject, bench)
        cell = replace(cell, runtime=runtime)
        artifact, notes = task.subject.artifact(task.recipe, bench.profile, format_of(runtime))
        batches, reasons = _batches(task, runtime, bench, settings, artifact)
        seconds = (*_others(bench, settings), *batches)
    except EdgewrightError as error:
        return Row(cell, outcome_of(error), settings.effort.name, started_at, scenario=settings.driving.kind)
    if artifact.provenance:
        cell = replace(cell, workload=artifact.provenance.workload)
    return Ready(task.subject, cell, artifact, started_at, (*notes, *reasons), seconds, task.key)


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
    ready: Ready, bench: Bench, settings: Settings, launch: Launch, on_event: OnEvent
) -> tuple[wire.RunResult, Quality | None]:
    """One fresh process on the device; with the score of what it computed, when asked and possible.

    With an external meter it is another job each time: what the meter said the first time is lost.
    """
    evaluating = launch.evaluate and settings.evaluate_on_device and ready.artifact.evaluation is not None
    job, files = make_job(
        ready.artifact,
        ready.cell.runtime,
        bench,
        settings,
        name=launch.name if bench.meter is None else f"{launch.name}/{uuid.uuid4()}",
        evaluate=evaluating,
        seconds=ready.seconds,
    )
    launch.job_ids.append(job.job_id)
    cell = ready.cell
    label = f"{cell.workload} {cell.recipe} {cell.runtime}, launch {launch.number}"
    errand = Errand(label, ready.key, settings.wait_s)
    result = run_metered(bench.device, job, files, on_event, bench.meter, errand)
    if result.scenario and result.scenario.batches and not any(b.latency_ns for b in result.scenario.batches):
        raise UnsupportedError("; ".join(dict.fromkeys(b.reason for b in result.scenario.batches)))
    return result, _judge(result, ready, bench.device) if evaluating else None


def row_unmeasured(cell: Cell, outcome: Failed | Skipped, settings: Settings) -> Row:
    """The row of a cell that got no further: its device could not be opened, or its file not be built."""
    return Row(cell, outcome, settings.effort.name, _now(), scenario=settings.driving.kind)


def build_ahead(task: Task, profile: DeviceProfile) -> tuple[Artifact, tuple[str, ...]]:
    """Build the file of a cell before its device is asked for anything; :func:`prepare` finds it then.

    Returns:
        It, and notes for the row.

    Raises:
        EdgewrightError: what keeps it from being built, on every device of that profile.
    """
    possible = _possible(task.cell.runtime, task.subject, profile)
    return task.subject.artifact(task.recipe, profile, format_of(possible[0]))


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


def choose_runtime(asked: str, subject: Subject, bench: Bench) -> str:
    """The runtime to use on this device.

    Raises:
        UnsupportedError: the profile says that the device cannot have it, or it cannot run this file.
        MissingRuntime: the device could have it and does not.
    """
    possible = _possible(asked, subject, bench.profile)
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


def _possible(asked: str, subject: Subject, profile: DeviceProfile) -> list[str]:
    """The runtimes of the profile that are meant, at least one.

    Raises:
        UnsupportedError: there is none, or the subject is never of their format.
    """
    candidates = wire.FORMATS[ANY_TFLITE] if asked == ANY_TFLITE else (asked,)
    subject.check_format(format_of(candidates[0]))
    possible = [name for name in candidates if name in profile.runtimes]
    if not possible:
        raise UnsupportedError(
            f"{profile.name} has no {asked}: its profile lists {', '.join(profile.runtimes)}"
        )
    return possible


def _judge(result: wire.RunResult, ready: Ready, device: Device) -> Quality | None:
    """Score what the device computed for the evaluation samples."""
    ref = next((file for file in result.files if file.name == "evaluation.npz"), None)
    if ref is None:
        return None
    with work_folder("collected") as folder:
        path = folder / ref.name
        device.collect(result.job_id, ref, path)
        return ready.subject.score(read_arrays(path), ready.artifact)
