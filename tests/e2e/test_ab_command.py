"""Two models by turns on this machine, through the command a person types."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tests.devices.command_line import Edgewright
from tests.models import onnx_zoo

SIZE = 96


def chain(path: Path, layers: int) -> Path:
    """``layers`` products of a matrix, one after the other, kept small by a tanh."""
    nodes, last = [], "x"
    for layer in range(layers):
        nodes += [
            helper.make_node("MatMul", [last, "w"], [f"m{layer}"]),
            helper.make_node("Tanh", [f"m{layer}"], [f"t{layer}"]),
        ]
        last = f"t{layer}"
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    shape = [SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [onnx_zoo.constant("w", onnx_zoo.weights(0, *shape))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def run(own_home: Path, edgewright: Edgewright) -> Edgewright:
    chain(edgewright.folder / "a.onnx", 4)
    chain(edgewright.folder / "b.onnx", 8)
    return edgewright


@pytest.mark.alone
def test_a_model_of_twice_the_work_is_slower(run: Edgewright) -> None:
    answer = run("ab", "a.onnx", "b.onnx", "--threads", "1", "--budget", "60s", "--json", "ab.json")
    found = json.loads((run.folder / "ab.json").read_text())
    assert (answer.code, found["verdict"]) == (1, "slower"), (answer, found["evidence"])
    assert answer.out.startswith("B is slower than A")
    assert 1.5 < found["ratio"] < 2.5 and found["interval"][0] <= found["ratio"] <= found["interval"][1]
    assert found["a"]["threads"] == 1 and found["a"]["median_ms"] < found["b"]["median_ms"]
    for launch in found["launches"]:
        assert sum(launch["counts"]) == len(launch["latency_ns"])
        assert len(launch["counts"]) == len(launch["order"])


def test_a_budget_too_small_cannot_tell(run: Edgewright) -> None:
    answer = run("ab", "a.onnx", "a.onnx", "--threads", "1", "--budget", "0.5s", "--json", "ab.json")
    assert answer.code == 4
    assert (
        "10 are needed" in answer.out and json.loads((run.folder / "ab.json").read_text())["interval"] is None
    )


def test_external_data_is_there_for_both_sides(run: Edgewright) -> None:
    onnx_zoo.with_external_data(run.folder)
    answer = run("ab", "big.onnx", "big.onnx", "--threads", "1", "--budget", "3s", "--json", "ab.json")
    assert answer.code == 4, answer
    assert json.loads((run.folder / "ab.json").read_text())["launches"]


def test_a_model_that_fails_cannot_be_told(run: Edgewright) -> None:
    onnx_zoo.save(onnx_zoo.not_a_number(), run.folder / "nan.onnx")
    answer = run("ab", "a.onnx", "nan.onnx", "--threads", "1", "--budget", "9s", "--json", "ab.json")
    found = json.loads((run.folder / "ab.json").read_text())
    assert (answer.code, found["verdict"], found["ratio"]) == (4, "cannot tell", None), answer
    assert "B: output 'loss' holds 6 NaN" in found["reason"]


def test_mistakes_end_with_2_and_never_with_the_code_of_slower(run: Edgewright) -> None:
    for words, message in (
        (("a.onnx", "gone.onnx"), "no such file"),
        (("a.onnx", "b.onnx", "--recipe-b", "fp16"), "a recipe is for FILE.py:FACTORY"),
        (("a.onnx", "b.onnx", "--budget", "soon"), "is not a duration"),
        (("a.onnx", "b.onnx", "--device", "nowhere"), "nowhere"),
    ):
        answer = run("ab", *words)
        assert answer.code == 2 and message in answer.err, answer
