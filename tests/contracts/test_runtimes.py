"""What every runtime promises, asked of each with the models it has to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.models import onnx_zoo, tflite_zoo

from edgewright_agent import arrays
from edgewright_agent.failure import AgentFailure
from edgewright_agent.feeds import Feeds
from edgewright_agent.protocol import Execution, SessionInfo, decode, encode
from edgewright_agent.runtimes import Session, import_runtime


@dataclass(frozen=True)
class Case:
    runtime: str
    ending: str
    name: str

    def save(self, folder: Path, name: str | None = None) -> str:
        zoo = onnx_zoo if self.ending == "onnx" else tflite_zoo
        made = getattr(zoo, name or self.name)()
        return str(zoo.save(made, folder / f"a model.{self.ending}"))

    def load(self, folder: Path) -> Session:
        return import_runtime(self.runtime).load(self.save(folder), Execution(self.runtime), Feeds())


CASES = [
    *(Case("onnxruntime", "onnx", name) for name in onnx_zoo.PLAIN),
    *(Case("ai-edge-litert", "tflite", name) for name in tflite_zoo.PLAIN),
]
KINDS = [Case("onnxruntime", "onnx", "lstm"), Case("ai-edge-litert", "tflite", "dense")]


def named(case: Case) -> str:
    return f"{case.ending}-{case.name}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_model_runs_on_inputs_made_from_its_signature(case: Case, tmp_path: Path) -> None:
    session = case.load(tmp_path)
    inputs = Feeds().complete(session.inputs, 0)
    session.bind(inputs)
    session.invoke()
    outputs = session.outputs()
    names = [spec.name for spec in session.inputs]
    assert list(inputs) == names and len(set(names)) == len(names) and "" not in names
    assert outputs and "" not in outputs
    for name, value in outputs.items():
        assert isinstance(value, np.ndarray) and value.dtype.kind != "O", name
    arrays.refuse_nan(outputs, inputs)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_what_went_in_and_came_out_survives_a_file(case: Case, tmp_path: Path) -> None:
    session = case.load(tmp_path)
    inputs = Feeds().complete(session.inputs, 0)
    session.bind(inputs)
    session.invoke()
    outputs = session.outputs()
    for values in (inputs, outputs):
        path = str(tmp_path / "kept.npz")
        arrays.save(path, values)
        back = arrays.load(path)
        assert list(back) == list(values)
        assert all(np.array_equal(back[name], values[name], equal_nan=True) for name in back)
    again = Feeds(inputs).complete(session.inputs, 7)
    assert all(np.array_equal(again[name], inputs[name]) for name in inputs)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_what_it_says_of_itself_can_be_sent(case: Case, tmp_path: Path) -> None:
    session = case.load(tmp_path)
    session.bind(Feeds().complete(session.inputs, 0))
    session.invoke()
    info = session.info()
    assert decode(SessionInfo, encode(info)) == info
    assert info.runtime == case.runtime and info.version and info.providers
    assert tuple(info.inputs) == tuple(session.inputs)


@pytest.mark.parametrize("case", KINDS, ids=named)
def test_outputs_are_copies(case: Case, tmp_path: Path) -> None:
    session = case.load(tmp_path)
    inputs = Feeds().complete(session.inputs, 0)
    session.bind(inputs)
    session.invoke()
    first = session.outputs()
    kept = {name: value.copy() for name, value in first.items()}
    session.bind({name: value * 3 for name, value in inputs.items()})
    session.invoke()
    assert all(np.array_equal(first[name], kept[name]) for name in kept)
    assert not all(np.array_equal(session.outputs()[name], kept[name]) for name in kept)


@pytest.mark.parametrize("case", KINDS, ids=named)
@pytest.mark.parametrize(
    ("content", "code"),
    [(b"hello", "invalid-model"), (b"\0" * 64, "invalid-model"), (None, "model-rejected")],
)
def test_a_refusal_is_one_line_in_words(case: Case, content: bytes | None, code: str, tmp_path: Path) -> None:
    path = Path(case.save(tmp_path, "custom_operator"))
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AgentFailure) as caught:
        import_runtime(case.runtime).load(str(path), Execution(case.runtime), Feeds())
    error = caught.value.error
    assert error.code == code
    assert "\n" not in error.message and str(tmp_path) not in error.message


def test_a_runtime_nobody_knows_is_named() -> None:
    with pytest.raises(AgentFailure, match="no runtime is called 'tensorrt-direct'") as caught:
        import_runtime("tensorrt-direct")
    assert caught.value.error.code == "missing-runtime"
