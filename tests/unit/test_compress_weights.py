"""Weights shared and weights in few bits: what the file holds then, and how little moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.compress import FileJob
from edgewright.compress.clusters import clustered
from edgewright.compress.share import Share, ShareOptions
from edgewright.compress.weight_only import WeightOnly, WeightOnlyOptions, codes_and_scales
from edgewright.compress.weights import stored_tensors
from edgewright.errors import CompressionError
from edgewright.export import Request, exporter, formats
from edgewright.profiles import load_profile
from edgewright.workload_check import torch_outputs

PROFILE = load_profile("x86-64-linux")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    module = nets.Residual(32).eval()
    names = tuple(torch_outputs(module, (nets.image(),), "test"))
    paths = {name: tmp_path_factory.mktemp("exported") / f"source.{name}" for name in formats()}
    for name, path in paths.items():
        exporter(name).export(Request(module, (nets.image(),), names), path)
    return paths


def job(source: Path, folder: Path) -> FileJob:
    return FileJob(source, folder / f"out{source.suffix}", source.suffix[1:], (), PROFILE)


def outputs(path: Path, format: str) -> np.ndarray:  # type: ignore[type-arg]
    (found,) = plain_run([path], format, inputs=[nets.image(99).numpy()]).outputs.values()
    return found


@settings(max_examples=50, deadline=None)
@given(bits=st.integers(1, 8), size=st.integers(1, 3000), zeros=st.floats(0, 1), seed=st.integers(0, 99))
def test_no_more_values_than_the_bits_can_name(bits: int, size: int, zeros: float, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    weights = (drawn.normal(size=size) * (drawn.random(size) >= zeros)).astype("float32")
    shared = clustered(weights, bits)
    assert shared.dtype == weights.dtype and shared.shape == weights.shape
    assert len(np.unique(shared)) <= 2**bits
    assert np.array_equal(shared[weights == 0], weights[weights == 0])
    assert np.abs(shared).max(initial=0.0) <= np.abs(weights).max(initial=0.0) * (1 + 1e-6)


def test_more_bits_lose_less() -> None:
    weights = np.random.default_rng(0).normal(size=20_000).astype("float32")
    errors = [float(((clustered(weights, bits) - weights) ** 2).mean()) for bits in (2, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.02  # the best 16 levels for a normal distribution lose 0.0095 (Max, 1960)


@pytest.mark.parametrize("format", formats())
def test_every_large_tensor_is_shared(format: str, exported: dict[str, Path], tmp_path: Path) -> None:
    work = job(exported[format], tmp_path)
    Share().apply(work, ShareOptions(bits=5, linear_bits=3, fewest=100))
    large = [
        t for t in stored_tensors(work.out, format) if t.dtype == np.float32 and t.ndim > 1 and t.size >= 100
    ]
    assert large
    for tensor in large:
        assert len(np.unique(tensor)) <= (8 if tensor.ndim == 2 else 32)


def test_nothing_to_share_is_an_error(exported: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CompressionError, match="no tensor of 32-bit floats has 1000000 weights"):
        Share().apply(job(exported["onnx"], tmp_path), ShareOptions(fewest=1_000_000))


@pytest.mark.parametrize("bits", [8, 4])
def test_a_scale_a_channel_that_loses_least(bits: int) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 500)).astype("float32")
    codes, scales = codes_and_scales(rows, bits)
    assert np.abs(codes).max() <= 2 ** (bits - 1) - 1
    plain = np.abs(rows).max(axis=1) / (2 ** (bits - 1) - 1)
    naive = np.rint(rows / plain[:, None]) * plain[:, None]
    ours = codes * scales[:, None]
    assert ((ours - rows) ** 2).sum() <= ((naive - rows) ** 2).sum() * (1.0001 if bits == 8 else 0.9)


@pytest.mark.parametrize("format", formats())
@pytest.mark.parametrize(("bits", "likeness"), [(8, 0.9999), (4, 0.97)])
def test_weights_in_few_bits(
    bits: int, likeness: float, format: str, exported: dict[str, Path], tmp_path: Path
) -> None:
    work = job(exported[format], tmp_path)
    WeightOnly().apply(work, WeightOnlyOptions(bits=bits, fewest=64))  # type: ignore[arg-type]
    got, want = outputs(work.out, format), outputs(work.source, format)
    assert float((got * want).sum() / np.sqrt((got**2).sum() * (want**2).sum())) > likeness
    assert not np.array_equal(got, want)


def test_int4_is_packed_in_the_file(exported: dict[str, Path], tmp_path: Path) -> None:
    work = job(exported["onnx"], tmp_path)
    WeightOnly().apply(work, WeightOnlyOptions(bits=4, fewest=64))
    model = onnx.load(work.out)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.INT4 in kinds
    onnx.checker.check_model(model)


def test_tflite_has_the_scales_that_lose_least_too(tmp_path: Path) -> None:
    from ai_edge_litert.schema_py_generated import TensorType
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    torch.manual_seed(0)
    layer = nn.Linear(256, 16)
    nn.init.normal_(layer.weight)
    path = tmp_path / "source.tflite"
    exporter("tflite").export(Request(layer.eval(), (torch.randn(1, 256),), ("output",)), path)
    work = job(path, tmp_path)
    WeightOnly().apply(work, WeightOnlyOptions(bits=4))
    model = flatbuffers.read_model(memoryview(bytearray(work.out.read_bytes())))
    (weight,) = (tensor for tensor in model.subgraphs[0].tensors if tensor.type == TensorType.INT4)
    want = codes_and_scales(layer.weight.detach().numpy(), 4)[1]
    assert np.allclose(weight.quantization.scale, want, rtol=1e-5)
    plain = layer.weight.detach().abs().amax(1).numpy() / 7
    assert (want < 0.95 * plain).all()


def test_no_constant_weight_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "source.onnx"
    module = nets.NoWeights().eval()
    exporter("onnx").export(Request(module, (nets.features(),), ("output",)), path)
    with pytest.raises(CompressionError, match="changed nothing"):
        WeightOnly().apply(job(path, tmp_path), WeightOnlyOptions())


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent_weights_in_few_bits(kind: type[nn.GRU | nn.LSTM], tmp_path: Path) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.recurrent = kind(8, 32, num_layers=2, batch_first=True, bidirectional=True)

        def forward(self, series: torch.Tensor) -> torch.Tensor:
            states: torch.Tensor = self.recurrent(series)[0]
            return states

    path, example = tmp_path / "source.onnx", torch.randn(1, 6, 8)
    exporter("onnx").export(Request(Recurrent().eval(), (example,), ("output",)), path)
    work = job(path, tmp_path)
    notes = WeightOnly().apply(work, WeightOnlyOptions())
    assert notes == ("the weights of 2 operators in 8 bits, one scale a channel",)
    assert work.out.stat().st_size < 0.45 * path.stat().st_size
    want, got = (
        next(iter(plain_run([file], "onnx", inputs=[example.numpy()]).outputs.values()))
        for file in (path, work.out)
    )
    assert float((got * want).sum() / np.sqrt((got**2).sum() * (want**2).sum())) > 0.999
