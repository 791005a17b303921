"""A pair on the agent's side: fresh processes within a budget, both sides checked, failures by name."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.models import onnx_zoo

from edgewright_agent import pair_player, pair_supervisor
from edgewright_agent.failure import AgentFailure
from edgewright_agent.files import describe
from edgewright_agent.pair_player import SideProcess
from edgewright_agent.pair_wire import REPORT
from edgewright_agent.pair_worker import sides
from edgewright_agent.protocol import Companion, Data, Execution, FileRef, Job, Limits, Model, Tolerance
from edgewright_agent.protocol_pair import PairJob, PairPlan
from edgewright_agent.store import Store

PLAN = PairPlan(
    launches=2, budget_ns=120 * 10**9, duration_ns=10**7, min_rounds=1, warmup_ns=0, block_ns=10**6
)
EXECUTION = Execution("onnxruntime", ("CPUExecutionProvider",))

Admit = Callable[[str, onnx.ModelProto], FileRef]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "agent"))


@pytest.fixture
def admit(store: Store, tmp_path: Path) -> Admit:
    def put(name: str, proto: onnx.ModelProto) -> FileRef:
        ref = describe(str(onnx_zoo.save(proto, tmp_path / name)))
        _keep(store, ref, tmp_path / name)
        return ref

    return put


def _keep(store: Store, ref: FileRef, path: Path) -> None:
    target = Path(store.path(ref.sha256))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())


def job(a: FileRef, b: FileRef, data_b: Data | None = None, threads: int = 1) -> PairJob:
    execution = replace(EXECUTION, threads=threads)
    other = Companion(Model((b,), "onnx"), execution, data_b or Data())
    return PairJob(Job(uuid.uuid4().hex, Model((a,), "onnx"), execution, companions=(other,)), PLAN)


def run(pair: PairJob, store: Store) -> tuple[Any, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    return pair_supervisor.run(pair, store, events.append), events


@pytest.mark.parametrize("threads", [1, 2])
def test_each_launch_is_fresh_and_either_is_loaded_first(store: Store, admit: Admit, threads: int) -> None:
    a, b = admit("a.onnx", onnx_zoo.one_node("Abs")), admit("b.onnx", onnx_zoo.one_node("Neg"))
    pair = job(a, b, threads=threads)
    pair = replace(pair, plan=replace(PLAN, first=3))
    result, events = run(pair, store)
    assert [(launch.number, launch.loaded_first) for launch in result.launches] == [(3, "B"), (4, "A")]
    for launch in result.launches:
        assert sum(launch.counts) == len(launch.latency_ns) and len(launch.counts) == len(launch.order)
        assert launch.a.session.providers == launch.b.session.providers == ("CPUExecutionProvider",)
    assert len(result.environment) == 2
    done = [event["done"] for event in events if event.get("unit") == "launches"]
    assert done == [1, 2]
    folder = Path(store.job_folder(pair.job.job_id))
    assert not (folder / "model").exists() and not (folder / "companions").exists()


def test_a_launch_that_would_outlast_the_budget_does_not_begin(store: Store, admit: Admit) -> None:
    a = admit("a.onnx", onnx_zoo.one_node("Abs"))
    pair = job(a, a)
    once = replace(pair, plan=replace(PLAN, launches=50, budget_ns=10**8))
    assert len(run(once, store)[0].launches) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_a_side_that_fails_is_named(store: Store, admit: Admit, threads: int) -> None:
    a, bad = admit("a.onnx", onnx_zoo.one_node("Abs")), admit("nan.onnx", onnx_zoo.not_a_number())
    with pytest.raises(AgentFailure, match="B: output 'loss' holds 6 NaN"):
        run(job(a, bad, threads=threads), store)
    with pytest.raises(AgentFailure, match="A: output 'loss' holds 6 NaN"):
        run(job(bad, a, threads=threads), store)


def test_a_side_that_computes_something_else_has_no_latency(
    store: Store, admit: Admit, tmp_path: Path
) -> None:
    a = admit("a.onnx", onnx_zoo.one_node("Abs"))
    np.savez(tmp_path / "expected.npz", y=np.full((1, 8), -3.0, np.float32))
    expected = describe(str(tmp_path / "expected.npz"))
    _keep(store, expected, tmp_path / "expected.npz")
    with pytest.raises(AgentFailure, match="B: output 'y' differs from the host's"):
        run(job(a, a, Data(expected=expected, tolerance=Tolerance(0.99, 1e-3))), store)


@pytest.mark.parametrize("count", [0, 2])
def test_a_pair_is_two(count: int, admit: Admit) -> None:
    a = admit("a.onnx", onnx_zoo.one_node("Abs"))
    pair = job(a, a)
    wrong = replace(pair.job, companions=pair.job.companions * count)
    with pytest.raises(AgentFailure, match=f"one companion, not {count}"):
        sides(wrong, "folder")


#: A side that opens nothing: its words come from a script, in which ``say`` answers on the socket.
SCRIPT = """
import os, signal, socket, struct, sys, threading, time
wire = socket.socket(fileno=int(sys.argv[1]))
def say(number): wire.sendall(struct.pack("<i", number))
"""


@pytest.fixture
def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], SideProcess]]:
    """Starts the script as a side's process."""
    started: list[SideProcess] = []

    def start(script: str, limit_bytes: int = 0) -> SideProcess:
        def command(folder: str, fd: int, word: str) -> list[str]:
            return [sys.executable, "-c", SCRIPT + script, str(fd)]

        monkeypatch.setattr(pair_player, "worker_command", command)
        ref = FileRef("m.onnx", "ab" * 32, 1)
        limits = Limits(memory_bytes=limit_bytes)
        one = SideProcess(
            "B", str(tmp_path), Job("job", Model((ref,), "onnx"), EXECUTION, limits=limits), PLAN
        )
        started.append(one)
        return one

    yield start
    for one in started:
        one.close()


def cpu_ticks(process: SideProcess) -> int:
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_side_is_stopped_between_its_turns_threads_and_all(side: Callable[..., SideProcess]) -> None:
    spin = "threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()\n"
    process = side(f"{spin}say(0)\nwhile wire.recv(1):\n    time.sleep(0.2); say(7)")
    process.opened()
    before = cpu_ticks(process)
    time.sleep(0.3)
    assert cpu_ticks(process) == before
    assert process.block() == 7
    after = cpu_ticks(process)
    assert after > before
    time.sleep(0.2)
    assert cpu_ticks(process) == after


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "B: the worker was ended by SIGSEGV"),
        ("sys.exit(3)", "B: the worker ended with status 3 and no report"),
        ("say(0); wire.recv(1); os.kill(os.getpid(), signal.SIGKILL)", "B: the worker was ended by SIGKILL"),
        ("say(0); wire.recv(1); say(4); wire.close(); os._exit(5)", "B: the worker ended with status 5"),
    ],
)
def test_a_side_that_dies_is_named_with_the_cause(
    side: Callable[..., SideProcess], script: str, message: str
) -> None:
    process = side(script)
    with pytest.raises(AgentFailure, match=message):
        process.opened()
        process.block()
        process.block()


def test_a_side_above_its_memory_is_refused(side: Callable[..., SideProcess]) -> None:
    with pytest.raises(AgentFailure, match=r"B: its [0-9]+ resident bytes exceed the limit of 1000"):
        side("say(0); wire.recv(1)", 1000).opened()


def test_a_side_s_own_words_come_first(side: Callable[..., SideProcess], tmp_path: Path) -> None:
    words = '{"error": {"code": "model-rejected", "message": "no such operator", "mend": "another runtime"}}'
    (tmp_path / REPORT).write_text(words)
    with pytest.raises(AgentFailure, match=r"^B: no such operator"):
        side("say(-1)").opened()
    assert not (tmp_path / REPORT).exists()


def test_a_closed_side_is_gone_even_when_stopped(side: Callable[..., SideProcess]) -> None:
    process = side("say(0); wire.recv(1)")
    process.opened()
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
