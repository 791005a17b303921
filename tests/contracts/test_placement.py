"""Who executes the nodes of a model: counted in every runtime, and an error where a required one does not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.models import onnx_zoo, tflite_zoo
from tests.models.quantized import float_model

from edgewright_agent.failure import AgentFailure
from edgewright_agent.feeds import Feeds
from edgewright_agent.protocol import AgentError, Execution, NodeShare, OpsPlan, Placement
from edgewright_agent.runtimes import Session, import_runtime, onnx_providers, placement
from edgewright_agent.runtimes.tflite_delegates import placed

ONNX, TFLITE = "onnxruntime", "ai-edge-litert"
CPU, AZURE = "CPUExecutionProvider", "AzureExecutionProvider"


@pytest.fixture
def convolutions(tmp_path: Path) -> str:
    return str(float_model(tmp_path / "net.onnx"))


@pytest.fixture
def mixed(tmp_path: Path) -> str:
    """A cumulative sum, which XNNPACK leaves to the interpreter, between two operators it takes."""
    tensor, one = tflite_zoo.Tensor, np.array(1, np.int32)
    tensors = [
        tensor("x", [1, 8]),
        tensor("w", [8, 8], content=tflite_zoo.weights(0, 8, 8)),
        tensor("b", [8], content=tflite_zoo.weights(1, 8)),
        tensor("h", [1, 8]),
        tensor("axis", [], tflite_zoo.INT32, content=one),
        tensor("c", [1, 8]),
        tensor("y", [1, 8]),
    ]
    ops = [
        tflite_zoo.Op("FULLY_CONNECTED", [0, 1, 2], [3], tflite_zoo.FC),
        tflite_zoo.Op("CUMSUM", [3, 4], [5], ("CumsumOptions", {"exclusive": False, "reverse": False})),
        tflite_zoo.Op("ADD", [5, 5], [6], tflite_zoo.ADD),
    ]
    packed = tflite_zoo.pack(tflite_zoo.Graph(tensors, ops, [0], [6]))
    return str(tflite_zoo.save(packed, tmp_path / "mixed.tflite"))


def load(path: str, execution: Execution) -> Session:
    session = import_runtime(execution.runtime).load(path, execution, Feeds())
    session.bind(Feeds().complete(session.inputs, 0))
    session.invoke()
    return session


def where(path: str, execution: Execution, *, by_running: bool = True) -> Placement:
    """Load and place, refusing what must be refused, as the worker does."""
    session = load(path, execution)
    found = session.placement(by_running=by_running)
    placement.check(execution, session.info(), found)
    return found


def refusal(path: str, execution: Execution) -> AgentError:
    with pytest.raises(AgentFailure) as caught:
        where(path, execution)
    assert caught.value.error.code == "provider-missing"
    return caught.value.error


def shares(found: Placement) -> dict[str, int]:
    return {share.provider: share.nodes for share in found.nodes}


@pytest.mark.parametrize(
    ("runtime", "asked", "expected"),
    [
        (ONNX, (CPU,), {CPU: 7}),
        (TFLITE, ("XNNPACK", "CPU"), {"XNNPACK": 2, "CPU": 1}),
        (TFLITE, ("CPU",), {"CPU": 3}),
        (TFLITE, (), {"XNNPACK": 2, "CPU": 1}),
    ],
)
def test_every_node_is_counted_once(
    runtime: str, asked: tuple[str, ...], expected: dict[str, int], convolutions: str, mixed: str
) -> None:
    path = convolutions if runtime == ONNX else mixed
    session = load(path, Execution(runtime, asked))
    found = session.placement(by_running=True)
    assert shares(found) == expected and found.method
    assert session.info().asked == asked


def test_a_listed_provider_that_takes_nothing_is_told_by_its_nodes(convolutions: str) -> None:
    """ONNX Runtime lists this one, starts it, and runs every node on the processor without a word."""
    execution = Execution(ONNX, (AZURE, CPU))
    session = load(convolutions, execution)
    assert AZURE in session.info().providers
    assert shares(session.placement(by_running=False)) == {CPU: 7}
    assert session.info().asked == (AZURE, CPU)


@pytest.mark.parametrize("asked", [(AZURE,), (AZURE, CPU)])
def test_a_required_provider_that_takes_nothing_is_an_error(
    asked: tuple[str, ...], convolutions: str
) -> None:
    error = refusal(convolutions, Execution(ONNX, asked, required=(AZURE,)))
    assert f"{AZURE} is required and executes 0 of 7 nodes ({CPU} 7 of 7)" in error.message and error.mend


def test_nothing_that_was_not_named_may_execute(mixed: str) -> None:
    error = refusal(mixed, Execution(TFLITE, ("XNNPACK",), required=("XNNPACK",)))
    assert "only XNNPACK may execute" in error.message and "CPU 1 of 3" in error.message
    assert error.mend == "allow the rest with --prefer CPU"
    allowed = where(mixed, Execution(TFLITE, ("XNNPACK", "CPU"), required=("XNNPACK",)))
    assert shares(allowed) == {"XNNPACK": 2, "CPU": 1}


def test_a_delegate_that_takes_nothing_is_an_error_when_required(tmp_path: Path) -> None:
    path = str(tflite_zoo.save(tflite_zoo.where(), tmp_path / "where.tflite"))
    error = refusal(path, Execution(TFLITE, ("XNNPACK", "CPU"), required=("XNNPACK",)))
    assert "XNNPACK is required and executes 0 of 1 nodes (CPU 1 of 1)" in error.message


def test_a_provider_that_this_build_lacks(convolutions: str) -> None:
    missing = "QNNExecutionProvider"
    error = refusal(convolutions, Execution(ONNX, (missing, CPU), required=(missing,)))
    assert f"has no {missing}" in error.message and CPU in error.mend
    info = load(convolutions, Execution(ONNX, (missing, CPU))).info()
    assert info.providers == (CPU,) and info.asked == (missing, CPU)
    assert any(note.startswith(f"{missing} was asked for") for note in info.notes)


def test_a_delegate_whose_library_is_not_there(mixed: str) -> None:
    asked = ("edgetpu", "XNNPACK", "CPU")
    error = refusal(mixed, Execution(TFLITE, asked, required=("edgetpu",)))
    assert "edgetpu cannot be loaded from libedgetpu.so.1" in error.message
    session = load(mixed, Execution(TFLITE, asked))
    assert shares(session.placement(by_running=False)) == {"XNNPACK": 2, "CPU": 1}
    assert any("libedgetpu" in note for note in session.info().notes)
    assert "known: XNNPACK" in refusal(mixed, Execution(TFLITE, ("tpu",), required=("tpu",))).mend


def test_versions_that_do_not_tell_are_asked_by_running(
    convolutions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_providers, "_TELLS", "not_in_this_version")
    execution = Execution(ONNX, (AZURE, CPU))
    session = load(convolutions, execution)
    assert session.placement(by_running=False).nodes == ()
    found = session.placement(by_running=True)
    assert set(shares(found)) == {CPU} and "one inference of a second session" in found.method
    assert "executes 0 of" in refusal(convolutions, Execution(ONNX, (AZURE,), required=(AZURE,))).message
    only_cpu = load(convolutions, Execution(ONNX, (CPU,))).placement(by_running=True)
    assert only_cpu == Placement((), f"not counted: nothing but {CPU} was asked for")


def test_a_provider_s_options_reach_the_runtime(convolutions: str) -> None:
    options = {CPU: {"nobody_knows_this": "1"}}
    with pytest.raises(AgentFailure) as caught:
        load(
            convolutions,
            Execution(ONNX, ("XnnpackExecutionProvider",), required=("XnnpackExecutionProvider",)),
        )
    assert caught.value.error.code == "provider-missing"
    session = load(convolutions, Execution(ONNX, (CPU,), provider_options=options))
    assert session.info().providers == (CPU,)


@pytest.mark.parametrize("case", onnx_zoo.PLAIN)
def test_odd_onnx_models_are_counted_too(case: str, tmp_path: Path) -> None:
    path = str(onnx_zoo.save(getattr(onnx_zoo, case)(), tmp_path / "m.onnx"))
    found = where(path, Execution(ONNX, (CPU,), required=(CPU,)))
    has_nodes = case not in ("no_inputs", "passthrough")
    assert set(shares(found)) == ({CPU} if has_nodes else set())
    assert has_nodes or found.method.startswith("there are none")


def test_a_model_profiles_its_operators_or_says_why_not(convolutions: str, mixed: str) -> None:
    timed = load(convolutions, Execution(ONNX, (CPU,))).profile_ops(OpsPlan(runs=6, warmup=2))
    assert not timed.reason and len(timed.sum_ns) == len(timed.run_ns) == 6
    assert {op.op_type for op in timed.ops} >= {"Conv", "MatMul", "GlobalAveragePool"}
    assert all(op.median_ns is not None and op.provider == CPU and op.count == 1 for op in timed.ops)
    assert {path.suffix for path in Path(convolutions).parent.iterdir()} == {".onnx", ".tflite"}
    untimed = load(mixed, Execution(TFLITE)).profile_ops(OpsPlan())
    assert untimed.reason.startswith("unsupported: the Python interface of ai-edge-litert")
    assert [(op.op_type, op.provider, op.median_ns) for op in untimed.ops] == [
        ("FULLY_CONNECTED", "XNNPACK", None),
        ("CUMSUM", "CPU", None),
        ("ADD", "XNNPACK", None),
    ]
    assert untimed.ops[0].inputs == ("float32[1x8]", "float32[8x8]", "float32[8]")


def test_a_profile_stays_within_its_bounds(convolutions: str) -> None:
    session = load(convolutions, Execution(ONNX, (CPU,)))
    few = session.profile_ops(OpsPlan(runs=10_000, max_file_bytes=60_000))
    assert 0 < len(few.sum_ns) < 100 and any("to stay within the limits" in note for note in few.notes)
    none = session.profile_ops(OpsPlan(runs=10, max_file_bytes=100))
    assert none.ops == () and "100 bytes" in none.reason


NO_OP_DELEGATE = """
#include <stdint.h>
#include <stdlib.h>
typedef struct Delegate {
  void *data; int (*Prepare)(void *, struct Delegate *);
  void *from, *to, *release; int64_t flags; void *builder;
} Delegate;
static int prepare(void *context, struct Delegate *delegate) { return FAIL; }
Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void *report) {
  Delegate *made = calloc(1, sizeof(Delegate));
  made->Prepare = prepare;
  return made;
}
void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
"""


def library(folder: Path, *, fails: bool) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a delegate's library with")
    source, made = folder / "delegate.c", folder / f"libdelegate{int(fails)}.so"
    source.write_text(NO_OP_DELEGATE)
    subprocess.run(
        [compiler, "-shared", "-fPIC", f"-DFAIL={int(fails)}", "-o", str(made), str(source)], check=True
    )
    return str(made)


def test_a_delegate_s_library_that_loads_and_takes_nothing(mixed: str, tmp_path: Path) -> None:
    path = library(tmp_path, fails=False)
    options = {"edgetpu": {"library": path}}
    by_option = Execution(TFLITE, ("edgetpu", "XNNPACK", "CPU"), provider_options=options)
    session = load(mixed, by_option)
    assert shares(session.placement(by_running=False)) == {"XNNPACK": 2, "CPU": 1}
    assert session.info().notes == () and session.info().providers == ("XNNPACK", "CPU")
    by_path = refusal(mixed, Execution(TFLITE, (path, "CPU"), required=(path,)))
    assert "executes 0 of 3 nodes (CPU 3 of 3)" in by_path.message


def test_a_delegate_s_library_that_refuses_the_model(mixed: str, tmp_path: Path) -> None:
    path = library(tmp_path, fails=True)
    session = load(mixed, Execution(TFLITE, (path, "CPU")))
    assert shares(session.placement(by_running=False)) == {"CPU": 3}
    assert any("refused the model" in note for note in session.info().notes)
    assert "refused the model" in refusal(mixed, Execution(TFLITE, (path, "CPU"), required=(path,))).message


def test_operators_are_found_between_a_delegate_s_inputs_and_outputs() -> None:
    def op(index: int, name: str, inputs: list[int], outputs: list[int]) -> dict[str, object]:
        return {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}

    operators = [
        op(0, "CONV_2D", [0, 10, -1], [1]),
        op(1, "SPLIT", [1], [2, 3]),
        op(2, "CUSTOM", [2], [4]),
        op(3, "ADD", [3, 4], [5]),
        op(4, "DELEGATE", [0, 10], [2, 3]),
        op(5, "DELEGATE", [3, 4], [5]),
    ]
    found = [(str(one["op_name"]), provider) for one, provider in placed(operators, 1, "edgetpu")]
    assert found == [("CONV_2D", "edgetpu"), ("SPLIT", "edgetpu"), ("CUSTOM", "CPU"), ("ADD", "XNNPACK")]


def test_shares_are_summed_by_provider() -> None:
    found = placement.count([("a", 1), ("b", 5), ("a", 2)], "counted")
    assert found == Placement((NodeShare("b", 5), NodeShare("a", 3)), "counted")
    assert placement.in_words(found) == "b 5 of 8, a 3 of 8"
