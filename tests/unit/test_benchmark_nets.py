"""The networks of the benchmarks: they are built, take their inputs and learn; and what counts their work."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgewright.compress import ModelJob
from edgewright.compress.tuning import Tuning, tune
from edgewright.workload import Training, Workload

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

#: The shape of a sample, and how many scores come out.
NETS = {
    "alexnet": ((1, 32, 32), 10),
    "vgg": ((1, 32, 32), 10),
    "resnet": ((1, 32, 32), 10),
    "mobilenet": ((1, 32, 32), 10),
    "gru": ((25, 12), 9),
    "transformer": ((24, 1), 2),
}


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folders that a script there, and a workload there, import from; nothing of it stays."""
    before = set(sys.modules)
    for folder in (BENCHMARKS, BENCHMARKS / "nets"):
        monkeypatch.syspath_prepend(folder)
    yield
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None)
        if path and BENCHMARKS in Path(path).parents:
            del sys.modules[name]


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.usefixtures("benchmarks")
def test_a_step_of_training_moves_every_weight(name: str) -> None:
    shape, classes = NETS[name]
    net: torch.nn.Module = module(name).network()
    samples = torch.randn((4, *shape), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert net.eval()(samples).shape == (4, classes)
    before = {key: value.clone() for key, value in net.named_parameters()}
    data = torch.utils.data.TensorDataset(samples, torch.arange(4) % classes)
    training = Training(data, module("fitted").cross_entropy, epochs=1, batch_size=4)
    tune(ModelJob(net, Workload(name, net, (samples[:1],), training=training)), net, Tuning())
    still = [key for key, value in net.named_parameters() if torch.equal(value, before[key])]
    assert still == []


@pytest.mark.usefixtures("benchmarks")
def test_digits_are_shifted_and_kept_apart() -> None:
    images = module("images")
    digits = images.Digits.load()
    assert digits.images.shape[1:] == (1, 32, 32)
    assert len(digits.images) + len(digits.test_images) == 1797
    few = digits.training(1, 1e-3, a_class=3).data
    assert sorted(few[index][1].item() for index in range(len(few))) == sorted([*range(10)] * 3)
    torch.manual_seed(0)
    one, other = few[0][0], few[0][0]
    assert one.shape == other.shape == (1, 32, 32)
    assert not torch.equal(one, other)


@pytest.mark.usefixtures("benchmarks")
def test_series_are_read() -> None:
    text = "#a note\n@problemName X\n@classLabel true low high\n@data\n1,2,3:4,5,6:high\n0,0,0:7,8,9:low\n"
    series, labels = module("series").parse(text)
    assert series.dtype == np.float32
    assert series.tolist() == [[[1, 4], [2, 5], [3, 6]], [[0, 7], [0, 8], [0, 9]]]
    assert labels.tolist() == [1, 0]


@pytest.mark.usefixtures("benchmarks")
def test_multiplications_of_an_onnx_file(tmp_path: Path) -> None:
    weights: dict[str, np.ndarray[Any, Any]] = {
        "w": np.zeros((8, 1, 3, 3), np.float32),  # depthwise
        "m": np.zeros((8 * 4 * 4, 5), np.float32),
        "shape": np.array([1, -1], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], group=8, pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Reshape", ["y", "shape"], ["z"]),
        helper.make_node("MatMul", ["z", "m"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    assert module("macs").multiplications(tmp_path / "m.onnx", "onnx") == 8 * 16 * 9 + 128 * 5
