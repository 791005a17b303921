"""What the agent costs beside a bare loop: latency, memory, and the size of what is pushed.

    python benchmarks/agent_overhead.py [--pairs 7] [--seconds 2]

For each model and runtime the agent and a bare loop run in turn, each in a fresh process on one thread, and
the ratio of their medians is taken pair by pair. ONNX Runtime has two bare loops: ``session.run``, which
copies the tensors, and ``run_with_iobinding``, which does not; TFLite has ``interpreter.invoke``. Prints one
line a model and loop, then the archive's size and the memory of the agent's worker above that of the bare
process of ``session.run``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.agent_archive import agent_archive
from edgewright.artifact import sha256_file
from edgewright.boundary import quiet
from edgewright.device import Device
from edgewright.farm.inventory import Target
from edgewright_agent import protocol as wire

TIMED = """
until, clock, times = time.perf_counter_ns() + int(0.5e9), time.perf_counter_ns, []
while clock() < until:
    invoke()
gc.disable()
until = clock() + int(float(sys.argv[2]) * 1e9)
while clock() < until:
    start = clock()
    invoke()
    times.append(clock() - start)
peak = next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(json.dumps({"p50_ns": float(np.median(times)), "peak_bytes": peak}))
"""

ONNX = """
import gc, json, sys, time
import numpy as np
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
random = np.random.default_rng(0)
feeds = {i.name: random.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}
"""

BARE_RUN = f"{ONNX}\ndef invoke():\n    session.run(None, feeds)\n{TIMED}"

BARE_BOUND = f"""{ONNX}
binding = session.io_binding()
values = {{name: ort.OrtValue.ortvalue_from_numpy(value) for name, value in feeds.items()}}
for name, value in values.items():
    binding.bind_ortvalue_input(name, value)
for output in session.get_outputs():
    binding.bind_output(output.name, "cpu")
def invoke():
    session.run_with_iobinding(binding)
{TIMED}"""

BARE_TFLITE = f"""
import gc, json, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
random = np.random.default_rng(0)
for i in interpreter.get_input_details():
    interpreter.set_tensor(i["index"], random.standard_normal(i["shape"]).astype(np.float32))
invoke = interpreter.invoke
{TIMED}"""


@dataclass(frozen=True)
class Taken:
    """What one process measured of itself."""

    p50_ns: float
    peak_bytes: int


def write_model(path: Path, width: int, layers: int, size: int) -> None:
    """A stack of 3 x 3 convolutions of ``width`` channels on a ``size`` x ``size`` image."""
    rng = np.random.default_rng(0)
    nodes, weights, name, channels = [], [], "x", 3
    for layer in range(layers):
        kernel = (rng.standard_normal((width, channels, 3, 3)) * 0.1).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{layer}"))
        nodes.append(helper.make_node("Conv", [name, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        name, channels = f"r{layer}", width
    nodes.append(helper.make_node("GlobalAveragePool", [name], ["y"]))
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, width, 1, 1])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def write_tflite(path: Path, width: int, layers: int, size: int) -> None:
    """The same stack of convolutions as TFLite."""
    with quiet():
        import litert_torch
        import torch

    modules: list[torch.nn.Module] = []
    for layer in range(layers):
        modules += [torch.nn.Conv2d(3 if layer == 0 else width, width, 3, padding=1), torch.nn.ReLU()]
    stack = torch.nn.Sequential(*modules, torch.nn.AdaptiveAvgPool2d(1)).eval()
    with quiet():
        litert_torch.convert(stack, (torch.zeros(1, 3, size, size),)).export(str(path))


def bare(script: str, model: Path, seconds: float) -> Taken:
    """A bare loop."""
    words = [sys.executable, "-c", script, str(model), str(seconds)]
    said = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return Taken(said["p50_ns"], said["peak_bytes"])


def agent(device: Device, model: Path, seconds: float) -> Taken:
    """The same by the agent."""
    ref = wire.FileRef(model.name, sha256_file(model), model.stat().st_size)
    kind = model.suffix[1:]
    providers = ("CPUExecutionProvider",) if kind == "onnx" else ()
    job = wire.Job(
        uuid.uuid4().hex,
        wire.Model((ref,), kind),
        wire.Execution(wire.FORMATS[kind][0], providers, 1),
        scenario=wire.Scenario(min_count=1, min_duration_ns=int(seconds * 1e9)),
    )
    result = device.run(job, {ref.sha256: model})
    assert result.timing and result.memory.peak_bytes
    return Taken(statistics.median(result.timing.latency_ns), result.memory.peak_bytes)


def compare(device: Device, model: Path, loops: dict[str, str], options: argparse.Namespace) -> list[int]:
    """The agent and each bare loop in turn; prints the ratios, returns the memory above the first loop's."""
    ours: list[Taken] = []
    theirs: dict[str, list[Taken]] = {name: [] for name in loops}
    for turn in range(options.pairs):
        measures: list[tuple[list[Taken], Callable[[], Taken]]] = [
            (ours, partial(agent, device, model, options.seconds))
        ]
        for name, script in loops.items():
            measures.append((theirs[name], partial(bare, script, model, options.seconds)))
        for into, measure in measures if turn % 2 == 0 else measures[::-1]:
            into.append(measure())
    for name, taken in theirs.items():
        ratios = [a.p50_ns / b.p50_ns for a, b in zip(ours, taken, strict=True)]
        more_us = [(a.p50_ns - b.p50_ns) / 1000 for a, b in zip(ours, taken, strict=True)]
        print(
            f"{model.name}: agent p50 {statistics.median(t.p50_ns for t in ours) / 1000:.2f} us, "
            f"{name} p50 {statistics.median(t.p50_ns for t in taken) / 1000:.2f} us, "
            f"ratio={statistics.median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f}), "
            f"difference_us={statistics.median(more_us):.2f}",
            flush=True,
        )
    first = next(iter(theirs.values()))
    return [a.peak_bytes - b.peak_bytes for a, b in zip(ours, first, strict=True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    onnx_loops = {"session.run": BARE_RUN, "run_with_iobinding": BARE_BOUND}
    with tempfile.TemporaryDirectory() as folder:
        target = Target("local", "x86-64-linux", python=sys.executable, workdir=f"{folder}/agent")
        extra: list[int] = []
        with Device.open(target) as device:
            for name, width, layers, size in (("tiny", 4, 1, 8), ("small", 16, 3, 48), ("medium", 48, 6, 64)):
                model = Path(folder) / f"{name}.onnx"
                write_model(model, width, layers, size)
                extra += compare(device, model, onnx_loops, options)
                model = model.with_suffix(".tflite")
                write_tflite(model, width, layers, size)
                compare(device, model, {"interpreter.invoke": BARE_TFLITE}, options)
    print(f"memory_above_bare_bytes={statistics.median(extra):.0f}")
    print(f"archive_bytes={agent_archive().path.stat().st_size}")


if __name__ == "__main__":
    main()
