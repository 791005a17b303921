"""What onnxruntime says, in words, and the oddities of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.models import onnx_zoo

from edgewright_agent.failure import AgentFailure
from edgewright_agent.feeds import Feeds
from edgewright_agent.protocol import AgentError, Execution
from edgewright_agent.runtimes import Session, import_runtime
from edgewright_agent.runtimes.onnx_errors import explain


def load(proto: onnx.ModelProto, folder: Path) -> Session:
    path = onnx_zoo.save(proto, folder / "model.onnx")
    return import_runtime("onnxruntime").load(str(path), Execution("onnxruntime"), Feeds())


def refusal(proto: onnx.ModelProto, folder: Path) -> AgentError:
    with pytest.raises(AgentFailure) as caught:
        load(proto, folder)
    error = caught.value.error
    assert str(folder) not in error.message and "::" not in error.message
    return error


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (onnx_zoo.custom_operator, "has no operator com.acme.vision:SuperResize"),
        (lambda: onnx_zoo.custom_operator("ai.onnx.contrib"), "has no operator ai.onnx.contrib:SuperResize"),
        (onnx_zoo.unknown_operator, "has no operator TeleportV9"),
        (onnx_zoo.unknown_domain, "com.acme.vision:SuperResize: the model does not import its domain"),
        (onnx_zoo.float64_convolution, "has no kernel for Conv (version 11) with this model's number types"),
        (lambda: onnx_zoo.newer(ir=99), ", this model has 99"),
        (lambda: onnx_zoo.newer(opset=99), ", this model has 99"),
        (lambda: onnx_zoo.newer(ml=98), "knows opset ai.onnx.ml up to version"),
    ],
)  # fmt: skip
def test_what_the_runtime_lacks_is_named(
    make: Callable[[], onnx.ModelProto], words: str, tmp_path: Path
) -> None:
    error = refusal(make(), tmp_path)
    assert error.code == "model-rejected" and error.mend
    assert error.message.startswith("onnxruntime ") and words in error.message


def test_a_graph_that_makes_no_sense_is_refused_in_the_runtime_s_words(tmp_path: Path) -> None:
    proto = onnx_zoo.one_node("Relu")
    proto.graph.node[0].input[0] = "nobody"
    error = refusal(proto, tmp_path)
    assert error.code == "model-rejected"
    assert "refused the model: " in error.message and "'nobody' is not a graph input" in error.message


def test_what_is_no_onnx_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_zoo.lstm().SerializeToString()[:200])
    with pytest.raises(AgentFailure) as caught:
        import_runtime("onnxruntime").load(str(path), Execution("onnxruntime"), Feeds())
    assert caught.value.error.code == "invalid-model"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : /ort/onnxruntime/core/framework/bfc_arena.cc:360 "
            "void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) "
            "Failed to allocate memory for requested buffer of size 4398046511104",
            "out-of-memory",
            "could not allocate memory: Failed to allocate memory for requested buffer of size 4398046511104",
        ),
        ("std::bad_alloc", "out-of-memory", "could not allocate memory"),
        ("Load model from /x/m.onnx failed:Protobuf parsing failed.", "invalid-model", "truncated"),
        (
            "[ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from /a/b c.onnx failed:This is odd",
            "model-rejected",
            "onnxruntime 1.0 refused the model: This is odd",
        ),
        ("No Op registered for Gelu with domain_version of 17", "model-rejected", "has no operator Gelu"),
    ],
)
def test_messages_lose_paths_and_source_places(text: str, code: str, words: str) -> None:
    error = explain("1.0", text).error
    assert error.code == code and words in error.message and "/" not in error.message


def test_bytes_beyond_measure_are_cut() -> None:
    assert len(explain("1.0", "x" * 5000).error.message) < 600


def test_random_operators_draw_the_same_in_every_session(tmp_path: Path) -> None:
    drawn = []
    for _ in range(2):
        session = load(onnx_zoo.random_numbers(), tmp_path)
        session.bind(Feeds().complete(session.inputs, 0))
        session.invoke()
        drawn.append(session.outputs()["y"])
    assert np.array_equal(*drawn)


def test_maps_are_left_out_and_said_to_be(tmp_path: Path) -> None:
    session = load(onnx_zoo.zip_map(), tmp_path)
    session.bind(Feeds().complete(session.inputs, 0))
    session.invoke()
    assert list(session.outputs()) == ["p"]
    assert "outputs that cannot be compared with the host's: probabilities" in session.info().notes


def test_text_goes_in_and_comes_out(tmp_path: Path) -> None:
    session = load(onnx_zoo.strings(), tmp_path)
    session.bind(Feeds({"text": np.array(["no", "yes"])}).complete(session.inputs, 0))
    session.invoke()
    made = session.outputs()
    assert made["number"].tolist() == [0, 1] and made["same"].tolist() == ["no", "yes"]
    assert made["same"].dtype.kind == "U"


def test_the_sizes_of_outputs_follow_the_data(tmp_path: Path) -> None:
    session = load(onnx_zoo.non_zero(), tmp_path)
    for value, found in ((0.0, 0), (1.0, 15)):
        session.bind({"x": np.full((3, 5), value, np.float32)})
        session.invoke()
        assert session.outputs()["where"].shape == (2, found)


def test_state_that_comes_out_can_go_in_again(tmp_path: Path) -> None:
    session = load(onnx_zoo.lstm(), tmp_path)
    inputs = Feeds().complete(session.inputs, 0)
    session.bind(inputs)
    session.invoke()
    first = session.outputs()
    session.bind({**inputs, "h0": first["hn"], "c0": first["cn"]})
    session.invoke()
    assert not np.array_equal(first["hn"], session.outputs()["hn"])


def test_exact_integers_do_not_saturate(tmp_path: Path) -> None:
    """255 x 127, summed over 64: x86 without VNNI otherwise answers 1048544."""
    weights = onnx.numpy_helper.from_array(np.full((64, 64), 127, np.int8), "b")
    node = onnx.helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    a = onnx.helper.make_tensor_value_info("a", onnx.TensorProto.UINT8, [1, 64])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT32, [1, 64])
    graph = onnx.helper.make_graph([node], "g", [a], [y], [weights])
    path = tmp_path / "model.onnx"
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path
    )
    session = import_runtime("onnxruntime").load(str(path), Execution("onnxruntime", exact=True), Feeds())
    session.bind({"a": np.full((1, 64), 255, np.uint8)})
    session.invoke()
    assert session.outputs()["y"].tolist() == [[255 * 127 * 64] * 64]
