"""Operators that share a weight, in the mode of onnxruntime that refuses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests import nets
from torch import nn

from edgewright.compress import FileJob
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.exact_onnx import separate_weights, with_separate_weights
from edgewright.export import Request, exporter
from edgewright.profiles import load_profile
from edgewright.reference import reference_run


class Heads(nn.Module):
    """One head over two sizes of features, as detectors have it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.near = nn.Conv2d(3, 8, 3, padding=1)
        self.far = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.head = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        near = self.near(image).relu()
        return self.head(near), self.head(self.far(near).relu() * 3)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a device that computes in whole integers, which this host may not."""
    folder = tmp_path_factory.mktemp("heads")
    source, out = folder / "plain.onnx", folder / "int8.onnx"
    exporter("onnx").export(Request(Heads().eval(), (nets.image(),), ("near", "far")), source)
    samples = tuple((image.numpy(),) for (image,) in nets.images(4))
    job = FileJob(source, out, "onnx", samples, load_profile("raspberry-pi-5"))
    Quantize().apply(job, QuantizeOptions(mode="static"))
    return out


def test_they_run_with_exact_integers(file: Path) -> None:
    image = nets.image(3)
    run = reference_run([file], "onnx", inputs=[image.numpy()], exact=True)
    with torch.no_grad():
        wanted = Heads().eval()(image)
    for got, want in zip(run.outputs.values(), wanted, strict=True):
        assert np.abs(got - want.numpy()).max() < 0.05 * float(want.abs().max())


def test_every_operator_has_a_weight_of_its_own(file: Path) -> None:
    content = with_separate_weights(file)
    assert content is not None
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    taken = [
        node.input[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in tensors
        and tensors[node.input[0]].data_type == onnx.TensorProto.INT8
    ]
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(taken) == len(set(taken))
    assert len({node.input[1] for node in convolutions}) == len(convolutions) == 4
    assert separate_weights(model) == 0
    assert len(onnx.load(file).graph.initializer) < len(model.graph.initializer)  # the device's is as it was
