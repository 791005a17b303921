"""What TFLite says, in words, and the oddities of its inputs, outputs and state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.models import tflite_zoo

from edgewright_agent.failure import AgentFailure
from edgewright_agent.feeds import Feeds
from edgewright_agent.protocol import Execution
from edgewright_agent.runtimes import Session, import_runtime

NAME = "ai-edge-litert"


def load(content: bytes, folder: Path, feeds: Feeds | None = None) -> Session:
    path = tflite_zoo.save(content, folder / "model.tflite")
    return import_runtime(NAME).load(str(path), Execution(NAME), feeds or Feeds())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (tflite_zoo.custom_operator, "has no operator SuperResize"),
        (tflite_zoo.newer_operator, "has no version 99 of ABS"),
    ],
)
def test_what_the_runtime_lacks_is_named(make: Callable[[], bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(AgentFailure) as caught:
        load(make(), tmp_path)
    error = caught.value.error
    assert error.code == "model-rejected" and error.mend
    assert error.message.startswith(f"{NAME} ") and error.message.endswith(words)


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("make", [tflite_zoo.dense, tflite_zoo.lstm])
def test_a_model_that_was_cut_anywhere_is_no_model(
    make: Callable[[], bytes], kept: float, tmp_path: Path
) -> None:
    content = make()
    with pytest.raises(AgentFailure) as caught:
        load(content[: int(len(content) * kept)], tmp_path)
    assert caught.value.error.code == "invalid-model"


def test_open_dimensions_are_asked_for_before_anything_is_placed(tmp_path: Path) -> None:
    with pytest.raises(AgentFailure) as caught:
        load(tflite_zoo.dynamic(), tmp_path)
    assert caught.value.error.code == "invalid-input"
    assert caught.value.error.mend.endswith("--shape serving_default_x:0:1x4x1")


def test_a_size_that_is_not_open_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentFailure, match="--shape x:2x64 does not fit input x") as caught:
        load(tflite_zoo.dense(), tmp_path, Feeds({}, {"x": (2, 64)}))
    assert caught.value.error.code == "invalid-input"


def test_sizes_may_change_from_one_inference_to_the_next_and_back(tmp_path: Path) -> None:
    name = "serving_default_x:0"
    session = load(tflite_zoo.dynamic(), tmp_path, Feeds({}, {name: (1, 4, 1)}))
    for shape in ((1, 4, 1), (3, 4, 5), (1, 4, 1)):
        session.bind({name: np.full(shape, -2, np.float32)})
        session.invoke()
        made = session.outputs()["y"]
        assert made.shape == shape and (made == 2).all()


def test_a_name_that_stands_twice_gets_its_position(tmp_path: Path) -> None:
    session = load(tflite_zoo.same_name_twice(), tmp_path)
    assert [spec.name for spec in session.inputs] == ["x", "x:1"]
    session.bind(Feeds({"x": np.asarray("5"), "x:1": np.asarray("3")}).complete(session.inputs, 0))
    session.invoke()
    made = session.outputs()
    assert (made["y"] == 2).all() and (made["y:1"] == -2).all()


def test_text_goes_in_and_comes_out(tmp_path: Path) -> None:
    session = load(tflite_zoo.strings(), tmp_path)
    session.bind(Feeds({"text": np.array(["ja", "nö"])}).complete(session.inputs, 0))
    session.invoke()
    made = session.outputs()["same"]
    assert made.dtype.kind == "U" and made.tolist() == [["ja", "nö"]]


def test_quantized_inputs_are_fed_as_the_integers_they_are(tmp_path: Path) -> None:
    session = load(tflite_zoo.many_types(), tmp_path)
    inputs = Feeds({"q8": np.asarray("5")}).complete(session.inputs, 0)
    session.bind(inputs)
    session.invoke()
    assert (session.outputs()["q8_f"] == (5 - 3) * 0.5).all()
    assert {spec.name: spec.dtype for spec in session.inputs} == {
        "i32": "int32", "i64": "int64", "flag": "bool", "u8": "uint8", "q8": "int8",
    }  # fmt: skip


@pytest.mark.parametrize("make", [tflite_zoo.stateful, tflite_zoo.lstm])
def test_state_inside_the_model_starts_anew_with_each_session(
    make: Callable[[], bytes], tmp_path: Path
) -> None:
    seen = []
    for _ in range(2):
        session = load(make(), tmp_path)
        session.bind(Feeds().complete(session.inputs, 0))
        made = []
        for _ in range(2):
            session.invoke()
            made.append(next(iter(session.outputs().values())))
        assert not np.array_equal(made[0], made[1])
        seen.append(made)
    assert np.array_equal(seen[0], seen[1])


def test_of_several_signatures_the_first_graph_runs_and_is_said_to(tmp_path: Path) -> None:
    session = load(tflite_zoo.two_signatures(), tmp_path)
    session.bind({"encode_x": np.full((1, 4), -3, np.float32)})
    session.invoke()
    assert (session.outputs()["encode_y"] == 3).all()
    assert any("signatures" in note and "encode" in note for note in session.info().notes)
