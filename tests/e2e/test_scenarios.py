"""Each scenario through the command line, the agent and a runtime, as a person runs it; none takes long."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.devices import require
from tests.devices.quick_command import QuickCommand
from tests.models import onnx_zoo, tflite_zoo
from tests.models.tflite_zoo import FC, Graph, Op, Tensor, pack

ROOT = Path(__file__).resolve().parents[2]
Model = onnx.ModelProto | bytes

WORKLOAD = """
import torch
from edgewright.workload import Workload


def tiny():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    return Workload(name="tiny", model=model, example_inputs=(torch.randn(1, 8),))
"""


def flexible_onnx() -> onnx.ModelProto:
    """``y = softmax(x w)`` over any number of samples; a second input that is none of their business."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Mul", ["h", "gain"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"], axis=-1),
    ]
    inputs = [
        onnx_zoo.value("x", onnx.TensorProto.FLOAT, ["N", 16]),
        onnx_zoo.value("gain", onnx.TensorProto.FLOAT, [1]),
    ]
    outputs = [onnx_zoo.value("y", onnx.TensorProto.FLOAT, ["N", 8])]
    return onnx_zoo.model(nodes, inputs, outputs, [onnx_zoo.constant("w", onnx_zoo.weights(0, 16, 8))])


def mixes_samples() -> onnx.ModelProto:
    """Every output depends on all samples of the batch, so that a batch computes something else."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
        helper.make_node("Relu", ["sum"], ["positive"]),
        helper.make_node("Add", ["x", "positive"], ["y"]),
    ]
    value = [onnx_zoo.value(name, onnx.TensorProto.FLOAT, ["N", 16]) for name in "xy"]
    axes = onnx_zoo.constant("axes", np.asarray([0], np.int64))
    return onnx_zoo.model(nodes, value[:1], value[1:], [axes])


def flexible_tflite() -> bytes:
    """A fully connected layer over any number of samples."""
    tensors = [
        Tensor("x", [-1, 16]),
        Tensor("w", [8, 16], content=tflite_zoo.weights(0, 8, 16)),
        Tensor("b", [8], content=tflite_zoo.weights(1, 8)),
        Tensor("y", [-1, 8]),
    ]
    return pack(Graph(tensors, [Op("FULLY_CONNECTED", [0, 1, 2], [3], FC)], [0], [3]))


FLEXIBLE = [flexible_onnx, flexible_tflite]
ROW = {flexible_onnx: "x:1x16", flexible_tflite: "x:1x16"}


def save(made: Model, folder: Path, name: str) -> str:
    """The file's name in ``folder``."""
    if isinstance(made, bytes):
        return tflite_zoo.save(made, folder / f"{name}.tflite").name
    return onnx_zoo.save(made, folder / f"{name}.onnx").name


def row(quick: QuickCommand, *words: str) -> dict[str, Any]:
    """The measured row of a command that must be done without a word on standard error."""
    answer = quick("bench", *words, "--json", "report.json")
    assert (answer.code, answer.err) == (0, ""), answer
    (found,) = json.loads((quick.folder / "report.json").read_text(encoding="utf-8"))["rows"]
    assert found["outcome"] == "measured" and found["scenario"]["reason"] is None
    assert found["scenario"]["headline"] in " ".join(answer.out.split())
    made: dict[str, Any] = found
    return made


@pytest.mark.parametrize("make", FLEXIBLE)
def test_paced(make: Callable[[], Model], quick: QuickCommand) -> None:
    name = save(make(), quick.folder, "model")
    found = row(
        quick, name, "--scenario", "paced", "--rate", "50", "--deadline-ms", "900", "--shape", ROW[make]
    )
    paced = found["scenario"]["paced"]
    assert (paced["rate_hz"], paced["deadline_ms"], paced["misses"]) == (50.0, 900.0, 0)
    assert paced["arrivals"] == found["latency_ms"]["count"] >= 3
    assert paced["keeps_up"] and 0 < paced["utilization"] < 1
    (launch,) = found["launches"]
    assert all(
        start >= 20_000_000 * i for i, start in enumerate(launch["start_ns"])
    )  # none before it was due
    assert len(launch["start_ns"]) == len(launch["latency_ns"])


@pytest.mark.parametrize("make", FLEXIBLE)
def test_sustained_with_the_state_read_meanwhile(
    make: Callable[[], Model], quick: QuickCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright.farm.scenario.WATCH_NS", 200_000_000)
    name = save(make(), quick.folder, "model")
    words = ("--scenario", "sustained", "--minutes", "0.05", "--rate", "200", "--shape", ROW[make])
    found = row(quick, name, *words)
    sustained = found["scenario"]["sustained"]
    assert sustained["minutes"] >= sustained["minutes_asked"] == 0.05
    assert len(sustained["windows"]) in (3, 4) and sum(w["count"] for w in sustained["windows"]) >= 600
    inside = [moment for moment in sustained["environment"] if 0 < moment["t_s"] < 3]
    assert len(inside) >= 8
    assert any(
        "was read" in sentence and "one processor's time" in sentence
        for sentence in found["verdict"]["evidence"]
    )


def test_sustained_back_to_back_keeps_every_start(quick: QuickCommand) -> None:
    name = save(tflite_zoo.dense(2, 512), quick.folder, "model")
    found = row(quick, name, "--scenario", "sustained", "--minutes", "0.02")
    (launch,) = found["launches"]
    starts, stride = launch["start_ns"], launch["latency_stride"]
    if stride == 1:
        assert all(
            a + took <= b for a, b, took in zip(starts[:-1], starts[1:], launch["latency_ns"], strict=False)
        )
    assert starts == sorted(starts) and launch["latency_count"] >= len(starts)


@pytest.mark.parametrize("make", FLEXIBLE)
def test_offline_on_a_dynamic_first_axis(make: Callable[[], Model], quick: QuickCommand) -> None:
    name = save(make(), quick.folder, "model")
    found = row(quick, name, "--scenario", "offline", "--batch", "1,4,16", "--shape", ROW[make])
    batches = {batch["batch"]: batch for batch in found["scenario"]["batches"]}
    assert set(batches) == {1, 4, 16} and all(b["reason"] is None for b in batches.values())
    assert batches[1]["gain"] == 1.0
    assert batches[16]["gain"] == pytest.approx(batches[16]["throughput"] / batches[1]["throughput"])
    assert found["latency_ms"]["count"] == batches[1]["latency_ms"]["count"]
    assert found["energy_mj"] is None


@pytest.mark.parametrize("make", [lambda: onnx_zoo.one_node("Relu"), lambda: tflite_zoo.dense(1, 16)])
def test_offline_on_a_fixed_first_axis_measures_what_it_can(
    make: Callable[[], Model], quick: QuickCommand
) -> None:
    name = save(make(), quick.folder, "model")
    found = row(quick, name, "--scenario", "offline", "--batch", "1,2")
    one, two = found["scenario"]["batches"]
    assert one["throughput"] and two["throughput"] is None
    assert two["reason"].startswith("the first axis of input x is fixed at 1")
    answer = quick("bench", name, "--scenario", "offline", "--batch", "2,4")
    assert answer.code == 0 and "skipped" in answer.out and "fixed at 1" in " ".join(answer.out.split())


def test_a_batch_that_computes_something_else_has_no_throughput(quick: QuickCommand) -> None:
    name = save(mixes_samples(), quick.folder, "model")
    found = row(quick, name, "--scenario", "offline", "--batch", "1,8", "--shape", "x:1x16")
    one, eight = found["scenario"]["batches"]
    assert one["throughput"] and eight["throughput"] is None
    assert "output 'y' of a batch of 8 differs from that of one sample" in eight["reason"]


@pytest.mark.alone
@pytest.mark.parametrize("make", FLEXIBLE)
def test_copies_at_once(make: Callable[[], Model], quick: QuickCommand) -> None:
    name = save(make(), quick.folder, "model")
    found = row(quick, name, "--scenario", "multi-stream", "--streams", "2", "--shape", ROW[make])
    figures = found["scenario"]["multi_stream"]
    assert [stream["name"] for stream in figures["streams"]] == [f"{name} #{n}" for n in (1, 2)]
    assert 0 < figures["fairness"] <= 1 and figures["work"] > 0
    assert figures["throughput"] == pytest.approx(sum(s["throughput"] for s in figures["streams"]))
    assert found["threads"] == 1


def test_another_model_at_once_in_another_runtime(quick: QuickCommand) -> None:
    name = save(flexible_onnx(), quick.folder, "first")
    other = save(tflite_zoo.dense(2, 64), quick.folder, "second")
    found = row(quick, name, "--scenario", "multi-stream", "--also", other, "--shape", "x:1x16")
    first, second = found["scenario"]["multi_stream"]["streams"]
    assert (first["runtime"], second["runtime"]) == ("onnxruntime", "ai-edge-litert")
    assert (first["is_other"], second["is_other"]) == (False, True)
    assert second["name"] == other and second["provider"]


def test_a_workload_is_exported_for_every_batch(
    quick: QuickCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "torch"))  # what torch leaves is not ours
    (quick.folder / "tiny.py").write_text(WORKLOAD, encoding="utf-8")
    answer = quick("bench", "tiny.py:tiny", "--scenario", "offline", "--batch", "1,8", "--json", "out.json")
    assert answer.code == 0, answer
    (found,) = json.loads((quick.folder / "out.json").read_text(encoding="utf-8"))["rows"]
    one, eight = found["scenario"]["batches"]
    assert one["throughput"] and eight["throughput"], found["scenario"]
    assert found["notes"] == []


def test_a_plan_names_its_scenario(quick: QuickCommand) -> None:
    save(tflite_zoo.dense(1, 16), quick.folder, "model")
    plan = quick.folder / "plan.toml"
    text = '[plan]\nname = "p"\nworkloads = ["model.tflite"]\nruntimes = ["tflite"]\n'
    plan.write_text(text + 'scenario = "paced"\nrate = 100\n', encoding="utf-8")
    answer = quick("run", "plan.toml", "--csv", "out.csv")
    assert answer.code == 0, answer
    header, line = (quick.folder / "out.csv").read_text(encoding="utf-8").splitlines()
    fields = dict(zip(header.split(","), line.split(","), strict=False))
    assert "scenario.paced.rate_hz" in fields and ",paced," in line
    for added, words in (
        ('scenario = "pased"', "did you mean 'paced'?"),
        ('scenario = "paced"', "needs plan.rate"),
        ("minutes = 3", "plan.minutes is for scenario sustained, not single-stream"),
        ('scenario = "offline"\nbatch = [0]', "plan.batch is 0"),
        ('scenario = "offline"\nbatch = ["1"]', "plan.batch"),
        ('scenari = "paced"', "did you mean 'scenario'?"),
        ('scenario = "multi-stream"\nalso = ["gone.onnx"]', "gone.onnx: no such file"),
    ):
        plan.write_text(text + added + "\n", encoding="utf-8")
        assert words in quick.refusal(2, "run", "plan.toml")


def slow_tflite() -> bytes:
    """A matrix product that takes some tens of milliseconds."""
    tensors = [
        Tensor("x", [1024, 1024]),
        Tensor("w", [1024, 1024], content=tflite_zoo.weights(0, 1024, 1024)),
    ]
    tensors.append(Tensor("b", [1024], content=tflite_zoo.weights(1, 1024)))
    ops = []
    for layer in range(4):
        tensors.append(Tensor(f"h{layer}", [1024, 1024]))
        ops.append(
            Op("FULLY_CONNECTED", [0 if layer == 0 else len(tensors) - 2, 1, 2], [len(tensors) - 1], FC)
        )
    return pack(Graph(tensors, ops, [0], [len(tensors) - 1]))


def slow_onnx() -> onnx.ModelProto:
    """The same."""
    names = ["x", *(f"h{layer}" for layer in range(4))]
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in pairwise(names)]
    ends = [onnx_zoo.value(name, onnx.TensorProto.FLOAT, [1024, 1024]) for name in (names[0], names[-1])]
    return onnx_zoo.model(
        nodes, ends[:1], ends[1:], [onnx_zoo.constant("w", onnx_zoo.weights(0, 1024, 1024))]
    )


#: Counts how often another thread runs in the middle thirds of five inferences.
TICKS = """
import sys, threading, time
from edgewright_agent.feeds import Feeds
from edgewright_agent.protocol import Execution
from edgewright_agent.runtimes import import_runtime
name, path = sys.argv[1:]
session = import_runtime(name).load(path, Execution(name), Feeds())
session.bind(Feeds().complete(session.inputs, 0))
session.invoke()
moments, over = [], threading.Event()
def tick():
    while not over.wait(0.0005):
        moments.append(time.monotonic())
thread = threading.Thread(target=tick)
thread.start()
ticks = 0
for _ in range(5):
    begin = time.monotonic()
    session.invoke()
    end = time.monotonic()
    third = (end - begin) / 3
    ticks += sum(begin + third < moment < end - third for moment in list(moments))
over.set()
thread.join()
print(ticks)
"""


@pytest.mark.parametrize(
    ("make", "name"),
    [(slow_onnx, "onnxruntime"), (slow_tflite, "ai-edge-litert"), (slow_tflite, "tflite-runtime")],
)
def test_python_goes_on_while_a_runtime_infers(make: Callable[[], Model], name: str, tmp_path: Path) -> None:
    """What multi-stream rests on: threads are enough, since the runtimes release the interpreter's lock."""
    python = ROOT / "build/envs" / name / "bin/python"
    require(python.exists(), f"{python.relative_to(ROOT)} is missing: make test sets it up")
    path = tmp_path / save(make(), tmp_path, "slow")
    done = subprocess.run(
        [str(python), "-c", TICKS, name, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "agent"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert int(done.stdout) >= 3
