"""Transposed convolutions, with normalisations and in groups, as integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.compress import FileJob
from edgewright.compress.biases_tflite import with_plain_biases
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.export import Request, exporter
from edgewright.profiles import load_profile
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
