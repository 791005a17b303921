"""Transposed convolutions, with normalisations and in groups, as integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.compress import FileJob, ModelJob
from edgewright.compress.biases_tflite import with_plain_biases
from edgewright.compress.grouped import Groups, take_apart, with_norm_folded
from edgewright.compress.qat import Qat, QatOptions
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.export import Request, exporter
from edgewright.profiles import load_profile
from edgewright.workload import Training, Workload
from edgewright.workload_check import torch_outputs

X86 = load_profile("x86-64-linux")


def decoder(*, groups: int = 1, norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 32, 4, stride=2, padding=1, groups=groups),
    ]
    if norm:
        layers.append(nn.BatchNorm2d(32))
        for name in ("running_mean", "running_var"):
            layers[-1].get_buffer(name).uniform_(0.5, 2.0)
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(32, 4, 1)).eval()


def job(folder: Path, format: str, module: nn.Module) -> FileJob:
    source, samples = folder / f"source.{format}", nets.images(8)
    exporter(format).export(
        Request(module, samples[0], tuple(torch_outputs(module, samples[0], "t"))), source
    )
    calibration = tuple(tuple(tensor.numpy() for tensor in sample) for sample in samples)
    return FileJob(source, folder / f"out.{format}", format, calibration, X86)


def distance(work: FileJob, module: nn.Module) -> float:
    """From torch, as a share of the largest value, for an image that was not calibrated with."""
    image = nets.image(99)
    (got,) = plain_run([work.out], work.format, inputs=[image.numpy()], exact=True).outputs.values()
    with torch.no_grad():
        want = module(image).numpy()
    return float(np.abs(got - want).max() / np.abs(want).max())


@pytest.mark.parametrize("per_channel", [None, False])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_normalisation_after_one_is_quantized_with_it(
    format: str, per_channel: bool | None, tmp_path: Path
) -> None:
    module = decoder()
    work = job(tmp_path, format, module)
    Quantize().apply(work, QuantizeOptions(per_channel=per_channel))
    assert distance(work, module) < 0.03


def test_biases_of_one_axis_leave_the_file_as_it_is(tmp_path: Path) -> None:
    content = bytearray(job(tmp_path, "tflite", decoder(norm=False)).source.read_bytes())
    assert with_plain_biases(content, {"CONV_2D": 2, "TRANSPOSE_CONV": 3}) is content


def test_what_is_a_bias_and_something_else_stays_for_the_other(tmp_path: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    places = {"CONV_2D": 2, "TRANSPOSE_CONV": 3}
    model = flatbuffers.read_model(job(tmp_path, "tflite", decoder()).source)
    (transposed,) = (one for one in model.subgraphs[0].operators if len(one.inputs) == 4)
    shift = int(transposed.inputs[3])
    other = model.subgraphs[0].operators[-1]
    other.inputs = [*other.inputs, shift]
    content = with_plain_biases(bytearray(flatbuffer_utils.convert_object_to_bytearray(model)), places)
    graph = flatbuffers.read_model(memoryview(content)).subgraphs[0]
    (transposed,) = (one for one in graph.operators if len(one.inputs) == 4 and one.inputs[3] != shift)
    assert list(graph.tensors[shift].shape) == [1, 1, 1, 32]
    assert list(graph.tensors[transposed.inputs[3]].shape) == [32]
    assert graph.operators[-1].inputs[-1] == shift


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_groups_are_quantized(format: str, tmp_path: Path) -> None:
    module = decoder(groups=4)
    work = job(tmp_path, format, module)
    Quantize().apply(work, QuantizeOptions())
    assert distance(work, module) < 0.03


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_normalisation_is_folded_into_groups_too(groups: int, bias: bool) -> None:
    layer = nn.ConvTranspose2d(8, 12, 3, stride=2, output_padding=1, groups=groups, bias=bias).eval()
    norm = nn.BatchNorm2d(12).eval()
    for tensor in (norm.weight.data, norm.running_var, norm.running_mean):
        assert tensor is not None
        tensor.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(1))
    image = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.allclose(with_norm_folded(layer, norm)(image), norm(layer(image)), atol=1e-5)


def test_groups_taken_apart_compute_the_same() -> None:
    torch.manual_seed(0)
    whole, other = nn.ConvTranspose1d(8, 12, 3, 2, 1, 1, groups=4), nn.ConvTranspose2d(8, 8, 2, groups=8)
    other.bias = None
    module = nn.ModuleDict({"first": whole, "again": whole, "other": other, "plain": nn.Conv1d(8, 8, 1)})
    line, image = torch.randn(2, 8, 5), torch.randn(2, 8, 5, 5)
    with torch.no_grad():
        want = whole(line), whole(line, [9]), other(image)
        assert take_apart(module) == 2
        first = module["first"]
        assert isinstance(first, Groups) and module["again"] is first and len(first.groups) == 4
        got = first(line), first(line, [9]), module["other"](image)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(want, got, strict=True))


def test_groups_whose_weight_is_shared_stay_whole() -> None:
    module = nn.Sequential(nn.ConvTranspose1d(8, 8, 3, groups=4), nn.ConvTranspose1d(8, 8, 3, groups=4))
    module[1].weight = module[0].weight
    assert take_apart(module) == 0


def test_groups_that_stay_whole_are_trained_with_one_scale() -> None:
    """As a functional call has them, which no layer stands for."""

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.weight = nn.Conv2d(3, 8, 3), nn.Parameter(torch.randn(8, 3, 2, 2) / 4)
            self.shift = nn.Parameter(torch.ones(12))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.first(image))
            return nn.functional.conv_transpose2d(x, self.weight, self.shift, groups=4).mean((2, 3))

    module = Functional().eval()
    data = [(image[0], module(image)[0].detach()) for image in map(nets.image, range(16))]
    workload = Workload(
        "net",
        module,
        (nets.image(),),
        training=Training(data, nn.functional.mse_loss, epochs=1, batch_size=8),
    )
    changed = Qat().apply(ModelJob(module, workload), QatOptions())
    weight = changed.module.get_parameter("weight").detach()
    codes = weight / (weight.abs().max() / 127)
    assert torch.allclose(codes, codes.round(), atol=1e-3)
