"""A whole machine that calls itself a Raspberry Pi 5, from bare to clean, and what can happen to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.devices.brief import BriefHost
from tests.devices.command_line import Answer
from tests.devices.hosts import Running, until
from tests.devices.virtual_machine import BOARD, VirtualMachine

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

AGENT = "/root/.cache/edgewright"
#: The jobs that time inferences and have not ended.
_MEASURING = f"""cd {AGENT}/jobs 2>/dev/null || exit 0; for job in $(grep -ls '"measure"' */events.jsonl); do
    job=${{job%/*}}; [ -e $job/outcome.json ] || echo $job
done"""
#: A silent connection is given up by then.
GIVEN_UP_S = 60.0


@dataclass
class Bench:
    """The machine, a host beside it, and what was answered while it was made ready."""

    pi: VirtualMachine
    host: BriefHost
    trusted: Answer
    provisioned: Answer
    seen: set[str] = field(default_factory=set)

    def wait_for_another(self, running: Running) -> None:
        """Wait until a job that was not seen before times inferences."""

        def is_there() -> bool:
            assert running.process.poll() is None, running.end()
            measuring = set(self.pi.run(_MEASURING).split()) - self.seen
            self.seen.update(measuring)
            return bool(measuring)

        until(is_there, "another job that measures", 300)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Booted, trusted and provisioned once: nothing of Edgewright was in its image."""
    folder = tmp_path_factory.mktemp("machine")
    pi = VirtualMachine(folder / "pi").boot()
    host = BriefHost(folder / "host")
    try:
        (host.folder / "farm.toml").write_text(pi.farm_toml())
        trusted = host("device", "trust", "pi", "--yes")
        runtimes = ("--runtime", "onnxruntime", "--runtime", "ai-edge-litert")
        yield Bench(pi, host, trusted, host("device", "provision", "pi", "--offline", *runtimes))
    finally:
        host.stop()
        pi.kill()


def nothing_is_left(bench: Bench) -> None:
    """No job is kept and nothing half sent."""
    assert bench.pi.run(f"ls -A {AGENT}/jobs; find {AGENT}/store -name '*.part'") == ""


def test_a_bare_board_is_made_ready(bench: Bench) -> None:
    assert bench.trusted.code == 0, bench.trusted
    assert bench.pi.fingerprint() in bench.trusted.out
    assert bench.provisioned.code == 0, bench.provisioned
    assert "Python 3.11, aarch64, glibc 2.36" in bench.provisioned.out
    checked = bench.host("device", "doctor", "pi")
    assert checked.code == 0, checked
    for name in ("connection", "python", "disk", "clock", "onnxruntime", "ai-edge-litert"):
        assert any(line.split()[:2] == [name, "ok"] for line in checked.out.splitlines()), (name, checked.out)


def test_a_plan_outlives_what_happens_to_the_machine(bench: Bench) -> None:
    """Frozen during the first job, its clock set back during the second, without power during the third."""
    pi, host = bench.pi, bench.host
    plan = host.plan("pi", ["fp32", "int8-static"], ["onnxruntime", "tflite"])
    running = host.start("run", plan, "--json", "report.json", "--html", "report.html", seconds=3)

    bench.wait_for_another(running)
    pi.freeze()
    until(lambda: "trying to connect again" in running.err, "a connection given up", GIVEN_UP_S)
    pi.thaw()

    bench.wait_for_another(running)
    pi.run("date -s '2 hours ago'")

    bench.wait_for_another(running)
    pi.kill()
    pi.boot()

    ran = running.end(600)
    assert ran.code == 0, ran
    report = host.report()
    assert [(row["recipe"], row["runtime"], row["outcome"]) for row in report["rows"]] == [
        ("fp32", "onnxruntime", "measured"),
        ("fp32", "ai-edge-litert", "measured"),
        ("int8-static", "onnxruntime", "measured"),
        ("int8-static", "ai-edge-litert", "measured"),
    ]
    for row in report["rows"]:
        assert row["parity"]["cosine"] > (0.9999 if row["recipe"] == "fp32" else 0.999), row["parity"]
        assert row["quality"]["value"] > 0.98
        assert len(row["launches"]) == 1
        assert row["emulated"] is True and row["verdict"]["status"] == "emulated"
        assert "a virtual machine of QEMU" in row["verdict"]["evidence"][0]
    assert running.err.count("connected again after") == 2, running.err
    (device,) = report["devices"]
    assert device["board"] == BOARD and device["machine"] == "aarch64"
    (headline,) = report["headlines"]
    assert headline["recipe"] is None and "ran under emulation" in headline["sentence"]
    assert BOARD in (host.folder / "report.html").read_text()
    nothing_is_left(bench)


def test_a_large_network_computes_the_same(bench: Bench) -> None:
    """The demo's other network. It is judged here: its photographs would take an emulated processor long."""
    runtimes = ["onnxruntime", "tflite"]
    plan = bench.host.plan("pi", ["fp32", "int8-static"], runtimes, "efficientnet_lite0", "host")
    ran = bench.host("run", plan, "--json", "large.json")
    assert ran.code == 0, ran
    rows = bench.host.report("large.json")["rows"]
    assert [(row["recipe"], row["runtime"], row["outcome"]) for row in rows] == [
        ("fp32", "onnxruntime", "measured"),
        ("fp32", "ai-edge-litert", "measured"),
        ("int8-static", "onnxruntime", "measured"),
        ("int8-static", "ai-edge-litert", "measured"),
    ]
    for row in rows:
        assert row["workload"] == "efficientnet-lite0" and row["emulated"] is True
        assert row["parity"]["cosine"] > (0.9999 if row["recipe"] == "fp32" else 0.99), row["parity"]
    nothing_is_left(bench)


def test_a_model_that_does_not_fit_into_memory_is_a_failed_row(bench: Bench) -> None:
    """The kernel ends what takes too much; the agent lives and says so."""
    _greedy(bench.host.folder / "greedy.onnx")
    ran = bench.host("bench", "greedy.onnx", "--device", "pi", "--preset", "rapid", "--json", "greedy.json")
    assert ran.code == 1, ran
    (row,) = bench.host.report("greedy.json")["rows"]
    assert (row["outcome"], row["error_code"]) == ("failed", "out-of-memory"), row["reason"]
    nothing_is_left(bench)


def test_a_full_disk_is_said_before_anything_is_sent(bench: Bench) -> None:
    """What was pushed before would make room; nothing of it is left here."""
    bench.pi.run(f"find {AGENT}/store -type f -delete")
    bench.pi.run("fallocate -l $(($(stat -f -c '%a * %S' /) - (8 << 20))) /full")
    try:
        _heavy(bench.host.folder / "heavy.onnx")
        ran = bench.host("bench", "heavy.onnx", "--device", "pi", "--preset", "rapid", "--json", "heavy.json")
        assert ran.code == 1, ran
        (row,) = bench.host.report("heavy.json")["rows"]
        assert (row["outcome"], row["error_code"]) == ("failed", "disk-full"), row["reason"]
        nothing_is_left(bench)
    finally:
        bench.pi.run("rm /full")


def test_clean_removes_every_trace(bench: Bench) -> None:
    cleaned = bench.host("device", "clean", "pi")
    assert cleaned.code == 0, cleaned
    assert bench.pi.run("find /root/.cache /tmp -mindepth 1") == ""


def _greedy(path: Path) -> None:
    """A model that keeps 1.5 GB of what it computes until it has all of it."""
    size = numpy_helper.from_array(np.asarray([96 << 20], dtype=np.int64), "size")
    nodes, parts = [], [f"part{number}" for number in range(4)]
    for number, part in enumerate(parts):
        offset = f"offset{number}"
        value = numpy_helper.from_array(np.asarray([number], dtype=np.float32), f"value{number}")
        nodes.append(helper.make_node("Constant", [], [f"value{number}"], value=value))
        nodes.append(helper.make_node("Add", ["x", f"value{number}"], [offset]))
        nodes.append(helper.make_node("Expand", [offset, "size"], [part]))
    nodes.append(helper.make_node("Sum", parts, ["all"]))
    nodes.append(helper.make_node("ReduceMax", ["all"], ["y"], keepdims=1))
    _save(path, nodes, [size], 1, 1)


def _heavy(path: Path) -> None:
    """24 MB of weights that no compressor makes smaller."""
    weights = np.random.default_rng(0).standard_normal((2048, 3072)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    _save(path, [node], [numpy_helper.from_array(weights, "w")], 2048, 3072)


def _save(
    path: Path, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], inputs: int, outputs: int
) -> None:
    shapes = (("x", inputs), ("y", outputs))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name, size in shapes)
    graph = helper.make_graph(nodes, "model", [x], [y], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
