"""Profiling every node of some models on one device, one launch each."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright.artifact import Artifact
from edgewright.device import Errand
from edgewright.recipe import Recipe
from edgewright.report.ops import OpsDocument, Profiled, ops_document
from edgewright.report.ops.assemble import Place
from edgewright.report.ops.disturbance import disturbance
from edgewright_agent import protocol as wire

from .execute import choose_runtime
from .job import Bench, Settings, format_of, make_job
from .subject import Subject

#: How often a profile is taken while something disturbs the device.
_TRIES = 3
#: What is timed without profiling, before, in the same process.
_PLAIN = wire.Scenario(
    min_count=50, min_duration_ns=2_000_000_000, max_duration_ns=60_000_000_000, warmup_count=5
)


@dataclass(frozen=True)
class Model:
    """One model to profile: a subject and, for a workload, its recipe."""

    label: str
    subject: Subject
    recipe: Recipe | None
    runtime: str


def profile_models(
    models: Sequence[Model],
    bench: Bench,
    settings: Settings,
    plan: wire.OpsPlan,
    on_model: Callable[[str], None],
) -> OpsDocument:
    """Build, run and profile each in turn; the first is the one the others are compared with.

    All are built before any is run, so that what is compared runs close together.

    Raises:
        UnsupportedError, BuildError, DeviceError: the first thing that kept a model from being profiled.
    """
    bench.check_times()
    built: list[tuple[Model, str, Artifact]] = []
    for model in models:
        on_model(f"building {model.label}")
        runtime = choose_runtime(model.runtime, model.subject, bench)
        artifact, _ = model.subject.artifact(model.recipe, bench.profile, format_of(runtime))
        built.append((model, runtime, artifact))
    profiled = []
    for model, runtime, artifact in built:
        on_model(f"profiling {model.label} on {bench.device.target.name}")
        job, files = make_job(artifact, runtime, bench, settings, name=uuid.uuid4().hex, evaluate=False)
        job = replace(job, scenario=_PLAIN, energy=None, profile_ops=plan)
        result = _run_undisturbed(bench, job, files)
        profiled.append(Profiled(model.label, artifact.sha256, artifact.size_bytes, artifact.format, result))
    place = Place(bench.device.target.name, bench.profile.name, bench.facts)
    return ops_document(profiled, place)


def _run_undisturbed(bench: Bench, job: wire.Job, files: Mapping[str, Path]) -> wire.RunResult:
    """Run the job; again, a few times at most, while its own figures say that something else slowed it."""
    errand = Errand(f"profile of {job.model.files[0].name}")
    for number in range(_TRIES):
        result = bench.device.run(job, files, errand=errand)
        bench.device.acknowledge(job.job_id)
        if number == _TRIES - 1 or not _is_disturbed(result):
            break
        job = replace(job, job_id=uuid.uuid4().hex)
    return result


def _is_disturbed(result: wire.RunResult) -> bool:
    timing, ops = result.timing, result.ops
    if timing is None or ops is None or not ops.run_ns or not ops.sum_ns:
        return False
    plain, profiled, nodes = (
        statistics.median(samples) / 1e6 for samples in (timing.latency_ns, ops.run_ns, ops.sum_ns)
    )
    each = [(op.median_ns or 0) / 1e6 for op in ops.ops]
    return disturbance(plain, profiled, nodes, each) is not None
