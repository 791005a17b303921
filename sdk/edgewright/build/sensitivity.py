"""Which layer spoils the model: each compressed alone, everything else as it was.

The damage is the signal-to-noise ratio of the outputs against the uncompressed model's, and the workload's
own quality where it can judge. It is what a mixed-precision recipe, or shares by layer, are chosen by.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.compress import FileJob, ModelJob
from edgewright.compress.mixed import sqnr_db
from edgewright.config import did_you_mean, parse
from edgewright.errors import CompressionError, ConfigError, EdgewrightError
from edgewright.profile import DeviceProfile
from edgewright.recipe import Recipe, find_technique, load_recipe
from edgewright.temporary import work_folder
from edgewright.workload import Array, Workload
from edgewright.workloads import WorkloadSource

from . import build
from .builder import as_number, open_workload

if TYPE_CHECKING:
    import torch

    from edgewright.compress.quantize import QuantizeOptions

Progress = Callable[[str], None]

#: Samples that outputs are compared on.
_SAMPLES = 128
_QUANTIZE, _SPARSIFY = "quantize", "sparsify"
#: Options that compress one layer, given its name.
_ALONE: dict[str, Callable[[str], dict[str, Any]]] = {
    "factorize": lambda name: {"layers": [name], "rank": "ratio", "ratio": 0.5, "fine_tune": False},
    "prune": lambda name: {"layers": [[name, 0.5]], "round_to": 1, "fine_tune": False},
    _SPARSIFY: lambda name: {"layers": [name], "amount": 0.8, "fine_tune": False},
}
TECHNIQUES = tuple(sorted((*_ALONE, _QUANTIZE)))


@dataclass(frozen=True)
class Effect:
    """What one layer's compression does.

    Attributes:
        layer: the module's name, or the node's for ``quantize``.
        weights: how many the layer holds.
        sqnr_db: of the outputs; infinite when nothing moved.
        quality: by the workload's own measure, None where it has none.
        reason: why there are no figures.
    """

    layer: str
    weights: int
    sqnr_db: float | None = None
    quality: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Sensitivity:
    """Every layer, the worst first; ``baseline`` is the quality of the uncompressed model."""

    technique: str
    metric: str
    baseline: float | None
    effects: tuple[Effect, ...]


def sensitivity(
    source: WorkloadSource,
    technique: str,
    profile: DeviceProfile,
    *,
    cache: Path,
    progress: Progress,
    format: str = "onnx",
) -> Sensitivity:
    """Compress each layer alone; nodes of the file in that format for ``quantize``.

    Raises:
        ConfigError: the technique does not work layer by layer, or the workload is not what it should be.
        BuildError: the workload cannot be exported.
    """
    if technique not in TECHNIQUES:
        raise ConfigError(
            f"{technique!r} does not work layer by layer", mend=did_you_mean(technique, TECHNIQUES)
        )
    if technique == _QUANTIZE:
        from edgewright.compress.quantize import QuantizeOptions

        plain, options = load_recipe("fp32"), QuantizeOptions()
        return quantized_alone(
            source, plain, profile, format, options=options, cache=cache, progress=progress
        )
    return _edited(source, technique, progress)


def _edited(source: WorkloadSource, technique: str, progress: Progress) -> Sensitivity:
    """Techniques on the module, judged by what torch computes."""
    from torch import nn

    from edgewright.compress.layers import weighted_layers, weights_of

    workload = open_workload(source)
    found: Any = find_technique(technique)
    model = copy.deepcopy(workload.model).eval()
    want = _outputs(model, workload)
    baseline = _score(workload, want, source)
    effects = []
    for name, layer in weighted_layers(model).items():
        if not name or (isinstance(layer, nn.MultiheadAttention) and technique != _SPARSIFY):
            continue
        held = weights_of(ModelJob(model, workload), {name: layer})
        weights = sum(one.numel() for one in held.stored.values()) + sum(held.computed.values())
        progress(f"{technique} {name}")
        options = parse(_ALONE[technique](name), found.options, technique)
        try:
            changed = found.apply(ModelJob(copy.deepcopy(model), workload), options)
            got = _outputs(changed.module, workload)
            quality = _score(workload, got, source)
        except (CompressionError, ConfigError) as error:
            effects.append(Effect(name, weights, reason=error.message))
            continue
        effects.append(Effect(name, weights, sqnr_db(want, got), quality))
    return _sorted(technique, workload, baseline, effects)


def quantized_alone(
    source: WorkloadSource,
    recipe: Recipe,
    profile: DeviceProfile,
    format: str,
    *,
    options: QuantizeOptions,
    cache: Path,
    progress: Progress,
) -> Sensitivity:
    """Nodes of the file that ``recipe`` exports, judged by what the runtime computes.

    Args:
        recipe: of steps on the module only.
        options: how each is quantized, and which are.
    """
    from edgewright.export import exporter
    from edgewright.reference import reference_run

    progress("exporting")
    artifact = build(source, recipe, profile.name, profile, format, cache=cache)
    workload = open_workload(source)
    samples = _samples(workload)
    technique: Any = find_technique(_QUANTIZE)

    def run(path: Path) -> tuple[Array, ...]:
        exact = profile.hardware.is_exact and format == "onnx"
        return tuple(reference_run([path], format, evaluation=samples, exact=exact).evaluation.values())

    want = run(artifact.path)
    baseline = _score(workload, want, source)
    kinds = exporter(format).input_types(artifact.path)
    calibration = tuple(
        tuple(t.numpy().astype(kind, copy=False) for t, kind in zip(sample, kinds, strict=True))
        for sample in workload.calibration
    )
    effects = []
    with work_folder("sensitivity") as folder:
        for name, weights in _weighted_nodes(artifact.path, format):
            if name in options.keep or (options.only and name not in options.only):
                continue
            progress(f"quantize {name}")
            out = folder / f"one.{format}"
            job = FileJob(artifact.path, out, format, calibration, profile)
            try:
                alone = replace(options, only=(name,), keep=(), keep_worst=0, min_sqnr_db=None)
                technique.apply(job, alone)
                got = run(out)
                quality = _score(workload, got, source)
            except EdgewrightError as error:
                effects.append(Effect(name, weights, reason=error.message))
                continue
            effects.append(Effect(name, weights, sqnr_db(want, got), quality))
    return _sorted(_QUANTIZE, workload, baseline, effects)


def _weighted_nodes(path: Path, format: str) -> list[tuple[str, int]]:
    """The nodes with weights to quantize, and how many these are."""
    if format == "tflite":
        from edgewright.compress.quantize_tflite import operator_names

        return [(name, weights) for name, weights in operator_names(bytearray(path.read_bytes())) if weights]
    import onnx

    from edgewright.compress.quantize_onnx import WEIGHTED

    model = onnx.load(str(path))
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    found = (
        (node.name, next((sizes[name] for name in node.input[1:] if name in sizes), 0))
        for node in model.graph.node
        if node.op_type in WEIGHTED
    )
    return [(name, weights) for name, weights in found if weights]


def _sorted(technique: str, workload: Workload, baseline: float | None, effects: list[Effect]) -> Sensitivity:
    worst_first = sorted(effects, key=lambda effect: math.inf if effect.sqnr_db is None else effect.sqnr_db)
    return Sensitivity(technique, _metric(workload), baseline, tuple(worst_first))


def _samples(workload: Workload) -> tuple[Array, ...]:
    """One array an input, samples first: the evaluation's, else the calibration's, else the example."""
    if workload.evaluate is not None:
        return workload.evaluate.inputs
    rows = list(workload.calibration)[:_SAMPLES] or [workload.example_inputs]
    return tuple(np.concatenate([t.numpy() for t in column]) for column in zip(*rows, strict=True))


def _outputs(module: torch.nn.Module, workload: Workload) -> tuple[Array, ...]:
    """Sample by sample, as a device computes them."""
    import torch
    from torch.utils import _pytree

    collected: list[list[Array]] = []
    for sample in zip(*_samples(workload), strict=True):
        with torch.no_grad():
            returned = module(*(torch.from_numpy(np.ascontiguousarray(value)[None]) for value in sample))
        collected.append([leaf.numpy() for leaf in _pytree.tree_leaves(returned) if leaf is not None])
    return tuple(np.concatenate(column) for column in zip(*collected, strict=True))


def _score(workload: Workload, outputs: tuple[Array, ...], source: WorkloadSource) -> float | None:
    return None if workload.evaluate is None else as_number(workload.evaluate.score(outputs), source)


def _metric(workload: Workload) -> str:
    return "" if workload.evaluate is None else workload.evaluate.metric


def as_rows(found: Sensitivity) -> Iterator[Mapping[str, Any]]:
    """For JSON: an infinite ratio is null with ``unchanged`` true."""
    for effect in found.effects:
        unchanged = effect.sqnr_db == math.inf
        yield {
            "layer": effect.layer,
            "weights": effect.weights,
            "sqnr_db": None if unchanged else effect.sqnr_db,
            "unchanged": unchanged,
            "quality": effect.quality,
            "reason": effect.reason or None,
        }
