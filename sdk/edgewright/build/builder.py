"""Making what the cache does not have: load, compress, export, check, judge."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.artifact import ExportParity, Quality, sha256_file
from edgewright.boundary import foreign
from edgewright.cache import Cache, Record
from edgewright.compress import FileJob, Finish, ModelJob
from edgewright.errors import (
    CompressionError,
    ConfigError,
    ExportError,
    InvalidInput,
    InvalidModel,
    ModelRejected,
)
from edgewright.export import Request, exporter
from edgewright.parity import compare
from edgewright.recipe import Recipe, find_technique
from edgewright.temporary import work_folder
from edgewright.tensorfile import read_arrays, write_arrays
from edgewright.workload import Array, Workload
from edgewright.workload_check import torch_outputs
from edgewright.workloads import WorkloadSource, seed_everything

from .session import session_of
from .turn import BUILDING

if TYPE_CHECKING:
    import torch

    from edgewright.reference import ReferenceRun

    from . import Plan, Progress, Runner


def build_record(
    plan: Plan, store: Cache, key: str, *, progress: Progress | None, runner: Runner | None
) -> Record:
    """Build what ``plan`` asks for and keep it under ``key``."""
    if runner is None:
        from edgewright.reference import reference_run

        runner = reference_run
    with BUILDING:
        held = store.find(key)  # another thread may have made it meanwhile
        if held is not None:
            return held
        with work_folder("build") as folder:
            made = _Build(plan, store, folder, progress or _silent, runner)
            with made.session.loaded.at_home():
                return made.make(key)


def open_workload(source: WorkloadSource) -> Workload:
    """The workload itself; the builds that follow share the load.

    Raises:
        ConfigError: it is not what it should be.
    """
    with BUILDING:
        return session_of(source).workload


def _silent(_: str) -> None:
    """Say nothing."""


class _Build:
    """One cold build."""

    def __init__(self, plan: Plan, store: Cache, folder: Path, progress: Progress, runner: Runner) -> None:
        self._plan = plan
        self._store = store
        self._folder = folder
        self._progress = progress
        self._runner = runner
        progress("loading the workload")
        self.session = session_of(plan.source)
        if plan.batch:
            self.session = self.session.of_batch(plan.batch)

    def make(self, key: str) -> Record:
        """All stages; the finished record is in the cache."""
        recipe = self._plan.recipe
        exported = self._exported()
        model, notes = self._file_steps(self._store.path(exported, "model"), recipe, exported.notes)
        self._progress("running the file on this host")
        run = self._run(model, evaluate=True)
        torch_says = read_arrays(self._store.path(exported, "torch"))
        parity = compare(torch_says, run.outputs, recipe.tolerance, f"{recipe.name} ({self._plan.format})")
        coded, coded_notes = self._coded(model)
        record = Record(
            workload=self.session.workload.name,
            files={"model": self._store.put(model), **coded, **self._recorded(run)},
            dependencies=self.session.loaded.dependencies(),
            notes=(*notes, *coded_notes),
            parity=parity,
            quality=self._quality(run),
        )
        self._store.add(key, record)
        return record

    def _exported(self) -> Record:
        """The file before file steps, from the cache or made now."""
        key = self._plan.export_key()
        held = self._store.find(key)
        if held is not None:
            self.session.loaded.has_read(held.dependencies)
            return held
        workload, recipe = self.session.workload, self._plan.recipe
        module: torch.nn.Module = copy.deepcopy(workload.model).eval()
        notes: list[str] = []
        finish: Finish | None = None
        for number, step in enumerate(recipe.model_steps):
            step_key = self._store.checkpoints, self._plan.step_key(number)
            if done := self.session.edited.get(step_key):
                module, finish = copy.deepcopy(done.module), None
                notes += done.notes
                continue
            self._progress(step.technique)
            technique: Any = find_technique(step.technique)
            seed_everything()
            checkpoints = self._store.checkpoints / f"{key}-{number}"
            earlier = self._earlier(number)
            job = ModelJob(
                module,
                workload,
                self._progress,
                checkpoints,
                self.session.loaded.dependencies,
                self.session.loaded.has_read,
                self._plan.profile,
                self._plan.format,
                earlier,
            )
            changed = technique.apply(job, step.options)
            if changed.kept is not None and earlier is None:
                self._keep(number, changed.kept)
            if checkpoints.is_dir():
                shutil.rmtree(checkpoints)
            module, finish = changed.module.eval(), changed.finish
            notes += changed.notes
            if finish is None and changed.kept is None:
                self.session.remember(step_key, changed)
        self._progress(f"exporting to {self._plan.format}")
        outputs = torch_outputs(module, workload.example_inputs, str(self._plan.source))
        path = self._folder / f"exported.{self._plan.format}"
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        request = Request(module, workload.example_inputs, tuple(outputs))
        notes += exporter(self._plan.format).export(request, path)
        self._progress("comparing with torch")
        parity = self._check_export(path, outputs, recipe)
        if finish is not None:
            path, outputs, told = self._finished(path, finish)
            notes += told
        torch_file = self._folder / "torch.npz"
        write_arrays(torch_file, outputs)
        record = Record(
            workload=workload.name,
            files={"model": self._store.put(path), "torch": self._store.put(torch_file)},
            dependencies=self.session.loaded.dependencies(),
            notes=tuple(notes),
            parity=parity,
        )
        self._store.add(key, record)
        return record

    def _earlier(self, number: int) -> dict[str, Array] | None:
        """What a step on the module kept when it was done before, while the workload is what it was."""
        held = self._store.find(self._plan.step_key(number))
        if held is None:
            return None
        self.session.loaded.has_read(held.dependencies)
        return read_arrays(self._store.path(held, "kept"))

    def _keep(self, number: int, arrays: Mapping[str, Array]) -> None:
        path = self._folder / f"kept{number}.npz"
        write_arrays(path, arrays)
        loaded = self.session.loaded
        record = Record(loaded.workload.name, {"kept": self._store.put(path)}, loaded.dependencies())
        self._store.add(self._plan.step_key(number), record)

    def _finished(self, source: Path, finish: Finish) -> tuple[Path, dict[str, Array], tuple[str, ...]]:
        """The exported file finished, what it is to compute, and notes."""
        self._progress("writing the file")
        workload, plan = self.session.workload, self._plan
        out = self._folder / f"finished.{plan.format}"
        samples = tuple(self._as_file(source, sample) for sample in workload.calibration or finish.samples)
        job = FileJob(source, out, plan.format, samples, plan.profile, self._progress)
        seed_everything()
        notes = finish.write(job)
        outputs = torch_outputs(finish.simulated, workload.example_inputs, str(plan.source), own=True)
        return out, outputs, notes

    def _check_export(self, path: Path, outputs: Mapping[str, Array], recipe: Recipe) -> ExportParity:
        run = self._run(path, evaluate=False)
        return compare(outputs, run.outputs, recipe.export_tolerance, f"the {self._plan.format} export")

    def _file_steps(
        self, source: Path, recipe: Recipe, notes: tuple[str, ...]
    ) -> tuple[Path, tuple[str, ...]]:
        for number, step in enumerate(recipe.file_steps):
            self._progress(step.technique)
            technique: Any = find_technique(step.technique)
            out = self._folder / f"step{number}.{self._plan.format}"
            samples = self._calibration(source)
            job = FileJob(source, out, self._plan.format, samples, self._plan.profile, self._progress)
            seed_everything()
            notes = (*notes, *technique.apply(job, step.options))
            if sha256_file(out) == sha256_file(source):
                raise CompressionError(f"{step.technique} changed nothing: the file is the same as before")
            source = out
        return source, notes

    def _coded(self, model: Path) -> tuple[dict[str, str], tuple[str, ...]]:
        """The file entropy coded, when a step was for that, and a note of its size."""
        if not any(getattr(find_technique(s.technique), "codes", False) for s in self._plan.recipe.steps):
            return {}, ()
        from edgewright.compress.coding import encode_file
        from edgewright.compress.weights import stored_tensors

        self._progress("coding")
        out = self._folder / "model.coded"
        encode_file(model, stored_tensors(model, self._plan.format), out)
        size, before = out.stat().st_size, model.stat().st_size
        note = f"stored and pushed in {size} bytes, decoded on the device to {before}"
        return {"coded": self._store.put(out)}, (note,)

    def _calibration(self, path: Path) -> tuple[tuple[Array, ...], ...]:
        return tuple(self._as_file(path, sample) for sample in self.session.workload.calibration)

    def _as_file(self, path: Path, tensors: tuple[torch.Tensor, ...]) -> tuple[Array, ...]:
        """Tensors as the file's input types: a format may narrow 64-bit numbers."""
        kinds = self._input_types(path)
        return tuple(
            np.ascontiguousarray(tensor.detach().cpu().numpy()).astype(kind, copy=False)
            for tensor, kind in zip(tensors, kinds, strict=True)
        )

    def _input_types(self, path: Path) -> tuple[str, ...]:
        kinds = exporter(self._plan.format).input_types(path)
        if len(kinds) != len(self.session.workload.example_inputs):
            raise ExportError(
                f"the file has {len(kinds)} inputs, forward {len(self.session.workload.example_inputs)}"
            )
        return kinds

    def _run(self, path: Path, *, evaluate: bool) -> ReferenceRun:
        workload = self.session.workload
        evaluation = None
        if evaluate and workload.evaluate is not None:
            pairs = zip(workload.evaluate.inputs, self._input_types(path), strict=True)
            evaluation = [values.astype(kind, copy=False) for values, kind in pairs]
        try:
            return self._runner(
                [path],
                self._plan.format,
                inputs=self._as_file(path, workload.example_inputs),
                evaluation=evaluation,
                exact=self._plan.is_exact,
            )
        except (InvalidModel, InvalidInput, ModelRejected) as error:
            raise ExportError(f"the {self._plan.format} file does not run here: {error.message}") from error

    def _recorded(self, run: ReferenceRun) -> dict[str, str]:
        """The arrays that a device is fed with and held to, in the cache."""
        arrays: dict[str, dict[str, Array]] = {"inputs": run.inputs, "expected": run.outputs}
        evaluation = self.session.workload.evaluate
        if evaluation is not None:
            named = zip(run.input_specs, evaluation.inputs, strict=True)
            arrays["evaluation"] = {
                spec.name: values.astype(spec.dtype, copy=False) for spec, values in named
            }
        files = {}
        for purpose, content in arrays.items():
            path = self._folder / f"{purpose}.npz"
            write_arrays(path, content)
            files[purpose] = self._store.put(path)
        return files

    def _quality(self, run: ReferenceRun) -> Quality | None:
        evaluation, baseline = self.session.workload.evaluate, self.session.baseline
        if evaluation is None or baseline is None:
            return None
        self._progress(f"judging {evaluation.metric}")
        return Quality(
            metric=evaluation.metric,
            value=as_number(evaluation.score(tuple(run.evaluation.values())), self._plan.source),
            baseline=as_number(baseline, self._plan.source),
            samples=len(evaluation.inputs[0]),
            higher_is_better=evaluation.higher_is_better,
        )


def as_number(score: object, source: WorkloadSource) -> float:
    """What a workload's score gave, when it is one finite number.

    Raises:
        ConfigError: it is none.
    """
    with foreign(ConfigError, f"{source}: score", silent=False):
        value = float(score)  # type: ignore[arg-type]
    if not np.isfinite(value):
        raise ConfigError(f"{source}: score is {value}, not a number")
    return value
