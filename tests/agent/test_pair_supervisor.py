"""A pair on the agent's side: fresh processes within a budget, both sides checked, failures by name."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.models import onnx_zoo

from edgewright_agent import pair_supervisor
from edgewright_agent.failure import AgentFailure
from edgewright_agent.files import Store, describe
from edgewright_agent.pair_worker import sides
from edgewright_agent.protocol import Companion, Data, Execution, FileRef, Job, Model, Tolerance
from edgewright_agent.protocol_pair import PairJob, PairPlan

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


def job(a: FileRef, b: FileRef, data_b: Data = Data()) -> PairJob:  # noqa: B008 - it is frozen
    other = Companion(Model((b,), "onnx"), EXECUTION, data_b)
    return PairJob(Job(uuid.uuid4().hex, Model((a,), "onnx"), EXECUTION, companions=(other,)), PLAN)


def run(pair: PairJob, store: Store) -> tuple[Any, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    return pair_supervisor.run(pair, store, events.append), events


def test_each_launch_is_a_process_and_either_is_loaded_first(store: Store, admit: Admit) -> None:
    a, b = admit("a.onnx", onnx_zoo.one_node("Abs")), admit("b.onnx", onnx_zoo.one_node("Neg"))
    pair = job(a, b)
    pair = replace(pair, plan=replace(PLAN, first=3))
    result, events = run(pair, store)
    assert [(launch.number, launch.loaded_first) for launch in result.launches] == [(3, "B"), (4, "A")]
    for launch in result.launches:
        assert sum(launch.counts) == len(launch.latency_ns) and len(launch.counts) == len(launch.order)
        assert launch.a.session.providers == launch.b.session.providers == ("CPUExecutionProvider",)
    assert len(result.environment) == 2
    done = [event["done"] for event in events if event.get("unit") == "launches"]
    assert done == [1, 2]
    assert run(pair, store)[0] == result  # a job that is done is not run again
    folder = Path(store.job_folder(pair.job.job_id))
    assert not (folder / "model").exists() and not (folder / "companions").exists()


def test_a_launch_that_would_outlast_the_budget_does_not_begin(store: Store, admit: Admit) -> None:
    a = admit("a.onnx", onnx_zoo.one_node("Abs"))
    pair = job(a, a)
    once = replace(pair, plan=replace(PLAN, launches=50, budget_ns=10**8))
    assert len(run(once, store)[0].launches) == 1


def test_a_side_that_fails_is_named(store: Store, admit: Admit) -> None:
    a, bad = admit("a.onnx", onnx_zoo.one_node("Abs")), admit("nan.onnx", onnx_zoo.not_a_number())
    with pytest.raises(AgentFailure, match="B: output 'loss' holds 6 NaN"):
        run(job(a, bad), store)
    with pytest.raises(AgentFailure, match="A: output 'loss' holds 6 NaN"):
        run(job(bad, a), store)


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
