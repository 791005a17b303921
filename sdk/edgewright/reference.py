"""What a file computes on this host, by the agent's own runtimes in a process of their own.

Export parity, quality and the expected outputs that a device is held to all come from here, so
there is one runtime code path, and a model that crashes its runtime does not take the host along.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright_agent import protocol as wire
from edgewright_agent.protocol import TensorSpec

from .artifact import sha256_file
from .device import Device, Errand
from .errors import DeviceError, MissingRuntime
from .temporary import work_folder
from .tensorfile import read_arrays, write_arrays
from .workload import Array


@dataclass(frozen=True)
class ReferenceRun:
    """Named arrays in the model's own order; ``evaluation`` outputs have the samples first."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    evaluation: dict[str, Array]
    input_specs: tuple[TensorSpec, ...]
    output_specs: tuple[TensorSpec, ...]


def reference_run(
    files: Sequence[Path],
    format: str,
    *,
    inputs: Mapping[str, Array] | Sequence[Array] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    evaluation: Sequence[Array] | None = None,
    exact: bool = False,
) -> ReferenceRun:
    """Run ``files[0]`` once on ``inputs``, and once on each evaluation sample.

    Args:
        files: the model, then its ONNX external data files.
        format: ``onnx`` or ``tflite``.
        inputs: arrays by name, or in the model's order; without them the agent makes them.
        shapes: sizes for inputs with dynamic dimensions.
        evaluation: one array per input in the model's order, samples first; each sample is fed
            with a batch axis of one put in front.
        exact: integer products as processors compute them that do not saturate, whatever this one does.

    Raises:
        DeviceError: what the agent says, with the target ``local``.
    """
    with work_folder("reference") as where:
        if exact:
            files = (_exact(files[0], where), *files[1:])
        data = {"inputs.npz": _by_position(inputs), "evaluation.npz": _by_position(evaluation)}
        paths = {name: where / name for name, arrays in data.items() if arrays}
        for name, path in paths.items():
            write_arrays(path, data[name])
        refs = {path: _refer(path) for path in (*files, *paths.values())}
        by_name = {name: refs[path] for name, path in paths.items()}
        job = wire.Job(
            job_id="",
            model=wire.Model(tuple(refs[path] for path in files), format),
            execution=wire.Execution(wire.FORMATS[format][0], exact=exact),
            data=wire.Data(
                shapes={name: tuple(shape) for name, shape in (shapes or {}).items()},
                inputs=by_name.get("inputs.npz"),
                evaluation=by_name.get("evaluation.npz"),
                keep_outputs=True,
            ),
        )
        with Device.open(_ThisHost(workdir=str(where / "agent"))) as device:
            result = _first_that_imports(device, job, {ref.sha256: path for path, ref in refs.items()})
            kept = {ref.name: where / f"kept-{ref.name}" for ref in result.files}
            for ref in result.files:
                device.collect(result.job_id, ref, kept[ref.name])
        return ReferenceRun(
            inputs=read_arrays(kept["inputs.npz"]),
            outputs=read_arrays(kept["outputs.npz"]),
            evaluation=read_arrays(kept["evaluation.npz"]) if "evaluation.npz" in kept else {},
            input_specs=result.session.inputs,
            output_specs=result.session.outputs,
        )


@dataclass(frozen=True)
class _ThisHost:
    """This interpreter with a folder of its own, apart from the device ``local``."""

    workdir: str
    name: str = "local"
    python: str = sys.executable
    link: None = None
    store_limit_bytes: int = 0


def _first_that_imports(device: Device, job: wire.Job, files: Mapping[str, Path]) -> wire.RunResult:
    """Run the job in the first runtime for its format that this host has."""
    missing: DeviceError | None = None
    for runtime in wire.FORMATS[job.model.format]:
        try:
            tried = replace(job, job_id=uuid.uuid4().hex, execution=replace(job.execution, runtime=runtime))
            return device.run(tried, files, errand=Errand(is_tied=True))
        except MissingRuntime as error:
            missing = missing or error
    assert missing
    raise missing


def _exact(model: Path, folder: Path) -> Path:
    """The file itself, or one in ``folder`` that onnxruntime can run with exact integers."""
    from .exact_onnx import with_separate_weights

    content = with_separate_weights(model)
    if content is None:
        return model
    made = folder / model.name
    made.write_bytes(content)
    return made


def _by_position(arrays: Mapping[str, Array] | Sequence[Array] | None) -> dict[str, Array]:
    if arrays is None:
        return {}
    if isinstance(arrays, Mapping):
        return dict(arrays)
    return {f"#{position}": value for position, value in enumerate(arrays)}


def _refer(path: Path) -> wire.FileRef:
    return wire.FileRef(path.name, sha256_file(path), path.stat().st_size)
