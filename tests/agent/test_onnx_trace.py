"""Reading ONNX Runtime's profile: nested nodes, damaged lines, more nodes than can be listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_agent.protocol_ops import MAX_OPS
from edgewright_agent.runtimes.onnx_trace import op_times, read_trace


def node(name: str, ts: int, dur: int, op: str = "Conv", **more: Any) -> dict[str, Any]:
    arguments = {"op_name": op, "provider": "CPUExecutionProvider", "node_index": name, **more}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": arguments}


def run_end(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur, "args": {}}


def write(folder: Path, events: list[dict[str, Any]], *, extra: str = "") -> str:
    path = folder / "trace.json"
    path.write_text("[\n" + extra + ",\n".join(json.dumps(event) for event in events) + "\n]\n")
    return str(path)


def test_each_inference_is_kept_apart_and_warm_up_is_left_out(tmp_path: Path) -> None:
    events = []
    for run, factor in enumerate((9, 1, 2, 3)):
        at = 1000 * run
        events += [node("a", at, 10 * factor), node("b", at + 200, factor), run_end(at, 300)]
    trace = read_trace(write(tmp_path, events))
    ops, sums, unlisted = op_times(trace, skip=1)
    assert [(op.name, op.median_ns, op.count) for op in ops] == [("a", 20_000, 1), ("b", 2_000, 1)]
    assert sums == [11_000, 22_000, 33_000] and unlisted == 0


def test_what_runs_inside_a_loop_is_not_counted_twice(tmp_path: Path) -> None:
    body = [node("step", 110, 20, "Add"), node("step", 140, 20, "Add"), node("inner", 170, 20, "If")]
    events = [node("loop", 100, 100, "Loop"), *body, node("twig", 175, 10, "Mul"), node("after", 200, 5)]
    ops, sums, _ = op_times(read_trace(write(tmp_path, [*events, run_end(90, 130)])), skip=0)
    assert {op.name: (op.median_ns, op.count) for op in ops} == {
        "loop": (40_000, 1),
        "step": (40_000, 2),
        "inner": (10_000, 1),
        "twig": (10_000, 1),
        "after": (5_000, 1),
    }
    assert sums == [105_000]


def test_tensors_are_written_with_their_type_and_sizes(tmp_path: Path) -> None:
    shapes: dict[str, Any] = {
        "input_type_shape": [{"float": [1, 3, 8, 8]}, {"int8": []}, {}],
        "output_type_shape": [{"uint8": [1, 4]}],
    }
    ops, _, _ = op_times(read_trace(write(tmp_path, [node("a", 0, 1, **shapes), run_end(0, 2)])), skip=0)
    assert ops[0].inputs == ("float32[1x3x8x8]", "int8[]", "") and ops[0].outputs == ("uint8[1x4]",)


def test_lines_that_are_no_event_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, [node("a", 0, 7), run_end(0, 9)], extra='{"cat": "Node", "na\n"text",\n[1],\n')
    trace = read_trace(path)
    assert trace.unreadable == 3
    assert op_times(trace, 0)[1] == [7_000]


def test_nodes_beyond_the_limit_are_in_the_sum_alone(tmp_path: Path) -> None:
    count = MAX_OPS + 40
    events = [node(f"n{i}", 10 * i, 1 + (i % 7 == 0)) for i in range(count)]
    ops, sums, unlisted = op_times(read_trace(write(tmp_path, [*events, run_end(0, 10 * count)])), skip=0)
    assert len(ops) == MAX_OPS and unlisted == 40
    assert sums == [1_000 * sum(1 + (i % 7 == 0) for i in range(count))]
    assert {f"n{i}" for i in range(0, count, 7)} <= {op.name for op in ops}


def test_a_trace_without_an_inference_names_no_node(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, [node("a", 0, 1)]))
    assert trace.runs == [] and trace.nodes_by_provider() == []


@given(
    text=st.text(max_size=400),
    events=st.lists(st.dictionaries(st.sampled_from(["cat", "name", "ts"]), st.text())),
)
def test_no_content_breaks_the_reader(
    text: str, events: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("trace") / "t.json"
    path.write_text(text + "\n" + ",\n".join(map(json.dumps, events)), encoding="utf-8", errors="replace")
    assert read_trace(str(path)).runs == [] or "model_run" in path.read_text(encoding="utf-8")
