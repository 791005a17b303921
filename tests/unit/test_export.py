from __future__ import annotations

import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run

from edgewright.errors import ExportError, UnsupportedError
from edgewright.export import Request, exporter, formats
from edgewright.export.onnx import OPSET
from edgewright.workload import Array
from edgewright.workload_check import torch_outputs

MANY = (torch.ones(1, 3), torch.ones(1, 4, dtype=torch.int64), torch.ones(1, 5), torch.tensor([True]))


def export(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], out: Path) -> tuple[str, ...]:
    module = module.eval()
    names = tuple(torch_outputs(module, inputs, "test"))
    return exporter(out.suffix[1:]).export(Request(module, inputs, names), out)


def as_file(inputs: tuple[torch.Tensor, ...], path: Path) -> list[Array]:
    kinds = exporter(path.suffix[1:]).input_types(path)
    return [tensor.numpy().astype(kind) for tensor, kind in zip(inputs, kinds, strict=True)]


def close(got: Mapping[str, Array], want: Mapping[str, Array]) -> bool:
    pairs = zip(got.values(), want.values(), strict=True)
    return all(np.allclose(g, w, atol=1e-5) and g.shape == w.shape for g, w in pairs)


@pytest.mark.parametrize("format", formats())
@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (nets.Residual(), (nets.image(),)),
        (nets.Many(), MANY),
        (nets.Variadic(), tuple(torch.randn(1, size) for size in range(1, 13))),
        (nets.Answers(), (torch.randn(1, 3),)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_inputs_and_outputs_keep_torch_s_order(
    module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], format: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model.{format}"
    export(module, inputs, path)
    run = plain_run([path], format, inputs=as_file(inputs, path))
    assert [tuple(v.shape) for v in run.inputs.values()] == [tuple(t.shape) for t in inputs]
    assert close(run.outputs, torch_outputs(module, inputs, "test"))


def test_onnx_names_come_from_forward(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export(nets.Many(), MANY, path)
    graph = onnx.load(str(path)).graph
    assert [value.name for value in graph.input] == ["zeta", "alpha", "unused", "flag"]
    assert [value.name for value in graph.output] == [f"output_{number}" for number in range(12)]


def test_onnx_output_names_come_from_the_keys_of_a_dict(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export(nets.Answers(), (torch.randn(1, 3),), path)
    assert [v.name for v in onnx.load(str(path)).graph.output] == ["scores", "boxes_0", "boxes_1"]


def test_tflite_names_come_from_forward_and_narrowing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    notes = export(nets.Many(), MANY, path)
    names = [spec.name for spec in plain_run([path], "tflite", inputs=as_file(MANY, path)).input_specs]
    assert [name.removeprefix("serving_default_") for name in names] == ["zeta", "alpha", "unused", "flag"]
    assert notes == ("input alpha is int32 in the file, int64 in torch",)


def test_onnx_is_simplified_checked_and_of_the_opset_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export(nets.Residual(), (nets.image(),), path)
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    operators = {node.op_type for node in model.graph.node}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert "GlobalAveragePool" in operators
    assert not {"BatchNormalization", "ReduceMean"} & operators


@pytest.mark.parametrize("format", formats())
def test_an_export_names_no_place_on_this_machine_and_is_the_same_again(format: str, tmp_path: Path) -> None:
    one, two = tmp_path / f"one.{format}", tmp_path / f"two.{format}"
    export(nets.Residual(), (nets.image(),), one)
    export(nets.Residual(), (nets.image(),), two)
    assert one.read_bytes() == two.read_bytes()
    for place in (str(Path(__file__).parents[2]), str(tmp_path), "nets.py", "stack_trace"):
        assert place.encode() not in one.read_bytes()


class Untraceable(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else -x


@pytest.mark.parametrize("format", formats())
def test_a_module_that_cannot_be_exported_is_one_line(format: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export(Untraceable(), (torch.ones(1, 2),), tmp_path / f"model.{format}")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_tflite_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "litert_torch":
            raise ImportError("No module named 'litert_torch'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedError, match=r"pip install 'edgewright\[tflite\]'"):
        export(nets.Dense(), (nets.features(),), tmp_path / "model.tflite")


def test_an_unknown_format_gets_its_neighbour() -> None:
    with pytest.raises(UnsupportedError, match="did you mean 'tflite'"):
        exporter("tflit")


def test_a_chatty_export_writes_to_neither_stream(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for kind in formats():
        export(nets.Dense(), (nets.features(),), tmp_path / f"model.{kind}")
    assert capfd.readouterr() == ("", "")
