"""A file run on this host by its runtime and nothing else, in this process: the stand-in for the agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.boundary import quiet
from edgewright.exact_onnx import with_separate_weights
from edgewright.reference import ReferenceRun
from edgewright.workload import Array
from edgewright_agent.protocol import TensorSpec


def plain_run(
    files: Sequence[Path],
    format: str,
    *,
    inputs: Sequence[Array] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
    evaluation: Sequence[Array] | None = None,
    exact: bool = False,
) -> ReferenceRun:
    with quiet():
        session: Any = _Onnx(files[0], exact) if format == "onnx" else _Tflite(files[0])
        outputs = session.run(inputs)
        samples = [session.run([v[None] for v in sample]) for sample in zip(*evaluation or (), strict=True)]
    names = [spec.name for spec in session.outputs]
    columns = [np.concatenate(column) for column in zip(*samples, strict=True)]
    return ReferenceRun(
        inputs=dict(zip([spec.name for spec in session.inputs], inputs, strict=True)),
        outputs=dict(zip(names, outputs, strict=True)),
        evaluation=dict(zip(names, columns, strict=True)) if samples else {},
        input_specs=session.inputs,
        output_specs=session.outputs,
    )


class _Onnx:
    def __init__(self, path: Path, exact: bool) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", str(int(exact)))
        options.intra_op_num_threads = 1
        content = (with_separate_weights(path) if exact else None) or str(path)
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        kinds = {
            "tensor(float)": "float32",
            "tensor(int64)": "int64",
            "tensor(int32)": "int32",
            "tensor(bool)": "bool",
        }
        self.inputs = tuple(
            TensorSpec(i.name, kinds[i.type], tuple(i.shape)) for i in self._session.get_inputs()
        )
        self.outputs = tuple(
            TensorSpec(o.name, kinds[o.type], tuple(o.shape)) for o in self._session.get_outputs()
        )

    def run(self, values: Sequence[Array]) -> list[Array]:
        feeds = {spec.name: value for spec, value in zip(self.inputs, values, strict=True)}
        return list(self._session.run(None, feeds))


class _Tflite:
    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._in, self._out = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.inputs = tuple(
            TensorSpec(d["name"], np.dtype(d["dtype"]).name, tuple(d["shape"])) for d in self._in
        )
        self.outputs = tuple(
            TensorSpec(d["name"], np.dtype(d["dtype"]).name, tuple(d["shape"])) for d in self._out
        )

    def run(self, values: Sequence[Array]) -> list[Array]:
        for detail, value in zip(self._in, values, strict=True):
            self._interpreter.set_tensor(detail["index"], value)
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_tensor(detail["index"])) for detail in self._out]
