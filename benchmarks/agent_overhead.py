"""What the agent costs beside a bare loop: latency, memory, and the size of what is pushed.

    python benchmarks/agent_overhead.py [--pairs 7] [--seconds 2]

For each model and runtime the agent and a bare loop run in turn, each in a fresh process on one
thread, and the ratio of their medians is taken pair by pair. Prints one line a model, then the
archive's size and the memory of the agent's worker above that of the bare process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import uuid
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.agent_archive import agent_archive
from edgewright.artifact import sha256_file
from edgewright.device import Device
from edgewright.farm.inventory import Target
from edgewright_agent import protocol as wire

BARE = """
import gc, json, sys, time
import numpy as np
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
random = np.random.default_rng(0)
feeds = {i.name: random.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}
until, clock, times = time.perf_counter_ns() + int(0.5e9), time.perf_counter_ns, []
while clock() < until:
    session.run(None, feeds)
gc.disable()
until = clock() + int(float(sys.argv[2]) * 1e9)
while clock() < until:
    start = clock()
    session.run(None, feeds)
    times.append(clock() - start)
peak = next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(json.dumps({"p50_ns": float(np.median(times)), "peak_bytes": peak}))
"""


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


def bare(model: Path, seconds: float) -> tuple[float, int]:
    """p50 in nanoseconds and peak memory in bytes of a bare loop."""
    words = [sys.executable, "-c", BARE, str(model), str(seconds)]
    said = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return said["p50_ns"], said["peak_bytes"]


def agent(device: Device, model: Path, seconds: float) -> tuple[float, int]:
    """The same by the agent."""
    ref = wire.FileRef(model.name, sha256_file(model), model.stat().st_size)
    job = wire.Job(
        uuid.uuid4().hex,
        wire.Model((ref,), "onnx"),
        wire.Execution("onnxruntime", ("CPUExecutionProvider",), 1),
        scenario=wire.Scenario(min_count=1, min_duration_ns=int(seconds * 1e9)),
    )
    result = device.run(job, {ref.sha256: model})
    assert result.timing and result.memory.peak_bytes
    return statistics.median(result.timing.latency_ns), result.memory.peak_bytes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Target("local", "x86-64-linux", python=sys.executable, workdir=f"{folder}/agent")
        extra: list[int] = []
        with Device.open(target) as device:
            for name, width, layers, size in (("tiny", 4, 1, 8), ("small", 16, 3, 48), ("medium", 48, 6, 64)):
                model = Path(folder) / f"{name}.onnx"
                write_model(model, width, layers, size)
                pairs = []
                for turn in range(options.pairs):
                    measures = [partial(agent, device, model), partial(bare, model)]
                    in_turn = measures if turn % 2 == 0 else measures[::-1]
                    taken = [measure(options.seconds) for measure in in_turn]
                    ours, theirs = taken if turn % 2 == 0 else taken[::-1]
                    pairs.append((ours[0], theirs[0]))
                    extra.append(ours[1] - theirs[1])
                ratios = [ours / theirs for ours, theirs in pairs]
                more_us = [(ours - theirs) / 1000 for ours, theirs in pairs]
                print(
                    f"{name}: agent p50 {statistics.median(p[0] for p in pairs) / 1000:.2f} us, "
                    f"bare p50 {statistics.median(p[1] for p in pairs) / 1000:.2f} us, "
                    f"ratio={statistics.median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f}), "
                    f"difference_us={statistics.median(more_us):.2f}"
                )
    print(f"memory_above_bare_bytes={statistics.median(extra):.0f}")
    print(f"archive_bytes={agent_archive().path.stat().st_size}")


if __name__ == "__main__":
    main()
