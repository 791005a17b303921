"""A job from its files to its result, in a worker of its own: what is observed, refused and left behind."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.models import onnx_zoo, tflite_zoo

from edgewright_agent import arrays, supervisor
from edgewright_agent.failure import AgentFailure
from edgewright_agent.files import describe
from edgewright_agent.protocol import (
    AgentError,
    Data,
    Execution,
    FileRef,
    Job,
    Limits,
    Model,
    RunResult,
    Scenario,
    Tolerance,
)
from edgewright_agent.store import Store

SHORT = Scenario(min_count=3, min_duration_ns=0, warmup_count=1, warmup_duration_ns=0)
RUNTIMES = {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}


@dataclass
class Bench:
    """A store on this machine and jobs in it."""

    folder: Path
    events: list[Any] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(str(self.folder / "root"))

    def push(self, path: Path) -> FileRef:
        ref, store = describe(str(path)), self.store
        if store.missing([ref.sha256]):
            Path(store.path(ref.sha256)).write_bytes(path.read_bytes())
        return ref

    def job(self, *files: Path, **data: Any) -> Job:
        ending = files[0].suffix[1:]
        return Job(
            job_id=uuid.uuid4().hex,
            model=Model(tuple(self.push(path) for path in files), ending),
            execution=Execution(RUNTIMES[ending]),
            data=Data(**{"keep_outputs": True, **data}),
            limits=Limits(timeout_s=60),
        )

    def arrays(self, name: str, **values: Any) -> FileRef:
        path = self.folder / f"{name}.npz"
        arrays.save(str(path), values)
        return self.push(path)

    def run(self, job: Job) -> RunResult:
        return supervisor.run(job, self.store, self.events.append)

    def refusal(self, job: Job) -> AgentError:
        with pytest.raises(AgentFailure) as caught:
            self.run(job)
        return caught.value.error

    def kept(self, result: RunResult, name: str) -> dict[str, Any]:
        return arrays.load(str(Path(self.store.job_folder(result.job_id)) / name))

    @property
    def phases(self) -> list[str]:
        return [event["name"] for event in self.events if event["event"] == "phase"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def onnx_file(tmp_path: Path) -> Any:
    return lambda proto: onnx_zoo.save(proto, tmp_path / "model.onnx")


@pytest.fixture
def tflite_file(tmp_path: Path) -> Any:
    return lambda content: tflite_zoo.save(content, tmp_path / "model.tflite")


def test_the_four_phases_are_four_figures(bench: Bench, onnx_file: Any) -> None:
    job = replace(bench.job(onnx_file(onnx_zoo.lstm())), scenario=SHORT)
    result = bench.run(job)
    assert result.timing is not None
    assert result.timing.load_ns > 0 and result.timing.first_ns > 0
    assert len(result.timing.warmup_ns) >= 1 and len(result.timing.latency_ns) >= 3
    in_order = ["import", "load", "first", "measure"]
    assert [phase for phase in bench.phases if phase in in_order] == in_order


def test_a_slow_load_is_the_load_s_and_nobody_else_s(bench: Bench, onnx_file: Any) -> None:
    job = replace(bench.job(onnx_file(onnx_zoo.folds_slowly())), scenario=SHORT)
    timing = bench.run(job).timing
    assert timing is not None
    assert timing.load_ns > 100 * min(timing.latency_ns)
    assert timing.load_ns > timing.first_ns + max(timing.warmup_ns)


def test_scalars_are_fed_as_the_user_wrote_them(bench: Bench, onnx_file: Any) -> None:
    inputs = bench.arrays("in", rate=np.asarray("16000"), gain=np.asarray("2"), x=np.ones((1, 4), np.float32))
    result = bench.run(bench.job(onnx_file(onnx_zoo.scalars()), inputs=inputs))
    assert bench.kept(result, "outputs.npz")["y"].tolist() == [[16002.0] * 4]
    assert bench.kept(result, "inputs.npz")["rate"] == 16000


def test_the_branch_taken_is_the_one_the_scalar_chooses(bench: Bench, onnx_file: Any) -> None:
    path, shapes = onnx_file(onnx_zoo.voice_activity()), {"input": (1, 512), "state": (2, 1, 128)}
    said = [
        bench.kept(
            bench.run(bench.job(path, shapes=shapes, inputs=bench.arrays(rate, sr=np.asarray(rate)))),
            "outputs.npz",
        )["output"]
        for rate in ("8000", "16000")
    ]
    assert not np.array_equal(*said)


def test_a_loop_runs_as_often_as_it_is_told(bench: Bench, onnx_file: Any) -> None:
    inputs = bench.arrays("in", count=np.asarray("3"), x=np.asarray("1"))
    result = bench.run(bench.job(onnx_file(onnx_zoo.loop()), inputs=inputs))
    assert set(bench.kept(result, "outputs.npz")["y"].ravel()) == {4.0}


def test_a_counter_from_outside_bounds_the_tflite_loop(bench: Bench, tflite_file: Any) -> None:
    inputs = bench.arrays("in", i=np.asarray("7"), x=np.asarray("1"))
    result = bench.run(bench.job(tflite_file(tflite_zoo.while_loop()), inputs=inputs))
    assert bench.kept(result, "outputs.npz")["x_out"].tolist() == [8.0] * 4


@pytest.mark.parametrize("locations", [("big.data",), ("a.bin", "b.bin", "c d.bin")])
def test_external_data_is_found_also_in_subgraphs(
    bench: Bench, tmp_path: Path, locations: tuple[str, ...]
) -> None:
    files = [onnx_zoo.with_external_data(tmp_path, locations=locations), *(tmp_path / n for n in locations)]
    inputs = bench.arrays("in", flag=np.asarray("true"))
    for _ in range(2):
        bench.run(bench.job(*files, inputs=inputs))
    assert bench.store.missing([describe(str(path)).sha256 for path in files]) == []


def test_external_files_of_the_same_content_are_both_there(bench: Bench, tmp_path: Path) -> None:
    proto = onnx_zoo.lstm()
    for tensor, location in zip(proto.graph.initializer, ("w.bin", "r.bin"), strict=True):
        (tmp_path / location).write_bytes(b"\0" * 256)
        onnx_zoo.refer(tensor, location, 0, len(tensor.raw_data))
    path = onnx_zoo.save(proto, tmp_path / "model.onnx")
    bench.run(bench.job(path, tmp_path / "w.bin", tmp_path / "r.bin"))


def test_external_data_comes_back_also_when_the_job_fails(bench: Bench, tmp_path: Path) -> None:
    path = onnx_zoo.with_external_data(tmp_path)
    job = bench.job(path, tmp_path / "big.data", inputs=bench.arrays("in", nobody=np.asarray("1")))
    assert bench.refusal(job).code == "invalid-input"
    assert bench.store.missing([ref.sha256 for ref in job.model.files]) == []


@pytest.mark.parametrize(
    ("make", "ending"), [(onnx_zoo.not_a_number, "onnx"), (tflite_zoo.not_a_number, "tflite")]
)
def test_outputs_that_are_no_numbers_are_named_and_counted(
    bench: Bench, tmp_path: Path, make: Any, ending: str
) -> None:
    made = make()
    path = tmp_path / f"nan.{ending}"
    path.write_bytes(made.SerializeToString() if isinstance(made, onnx.ModelProto) else made)
    error = bench.refusal(replace(bench.job(path), scenario=SHORT))
    size = 6 if ending == "onnx" else 4
    assert error.code == "model-rejected"
    assert error.message == f"output 'loss' holds {size} NaN of {size} values"
    assert "measure" not in bench.phases


def test_what_fails_on_sizes_that_the_user_chose_is_put_to_them(bench: Bench, onnx_file: Any) -> None:
    error = bench.refusal(bench.job(onnx_file(onnx_zoo.wants_four()), shapes={"x": (1, 5)}))
    assert error.code == "invalid-input"
    assert error.message.startswith("the model cannot run on its inputs x: float32[1 x 5]: ")
    assert "MatMul dimension mismatch" in error.message


def test_a_runtime_that_crashes_is_named_with_its_signal_and_phase(bench: Bench, tflite_file: Any) -> None:
    error = bench.refusal(bench.job(tflite_file(tflite_zoo.endless_recursion())))
    assert error.code == "agent-fault"
    assert error.message == "the worker was ended by SIGSEGV in its phase 'load'"


def test_a_model_without_an_end_is_stopped_at_its_limit(bench: Bench, onnx_file: Any) -> None:
    job = bench.job(
        onnx_file(onnx_zoo.loop()),
        inputs=bench.arrays("in", count=np.asarray(str(1 << 62)), x=np.asarray("0")),
    )
    error = bench.refusal(replace(job, limits=Limits(timeout_s=3)))
    assert error.code == "timeout" and "phase 'first'" in error.message


def test_the_host_s_outputs_are_reproduced(bench: Bench, tflite_file: Any) -> None:
    path = tflite_file(tflite_zoo.stateful())
    first = bench.run(bench.job(path))
    folder = Path(bench.store.job_folder(first.job_id))
    given = {"inputs": bench.push(folder / "inputs.npz"), "expected": bench.push(folder / "outputs.npz")}
    result = bench.run(bench.job(path, **given, tolerance=Tolerance(0.999, 1e-6)))
    assert result.parity is not None and result.parity.max_abs == 0


def test_random_outputs_have_no_parity_and_no_peak(bench: Bench, tflite_file: Any) -> None:
    path = tflite_file(tflite_zoo.random_numbers())
    expected = bench.arrays("out", y=np.zeros((1, 64), np.float32))
    result = bench.run(
        replace(bench.job(path, expected=expected, tolerance=Tolerance(0.98, 1e-5)), scenario=SHORT)
    )
    assert result.parity is None and "as with random numbers" in result.parity_reason
    assert result.memory.peak_bytes is None and "second session" in result.memory.peak_method
    assert result.timing is not None


def test_wrong_outputs_are_wrong_however_often_they_are_computed(bench: Bench, onnx_file: Any) -> None:
    expected = bench.arrays("out", y=np.full((1, 2), 9, np.float32))
    job = bench.job(
        onnx_file(onnx_zoo.listed_initializer()), expected=expected, tolerance=Tolerance(0.999, 1e-5)
    )
    error = bench.refusal(job)
    assert error.code == "model-rejected" and "output 'y' differs from the host's: cosine" in error.message


def test_a_model_without_tensors_to_compare_claims_no_parity(bench: Bench, onnx_file: Any) -> None:
    job = bench.job(onnx_file(onnx_zoo.zip_map(only_map=True)), expected=bench.arrays("out"))
    result = bench.run(job)
    assert result.parity is None and result.parity_reason == "no output of the model is a tensor"


def test_nothing_but_results_is_left_of_a_job(bench: Bench, onnx_file: Any) -> None:
    path = onnx_file(onnx_zoo.scalars())
    done, failed = bench.job(path), bench.job(path, shapes={"x": (9, 9)})
    bench.run(done)
    bench.refusal(failed)
    for job in (done, failed):
        left = {entry.name for entry in Path(bench.store.job_folder(job.job_id)).iterdir()}
        assert left <= {"job.json", "worker.json", "result.json", "inputs.npz", "outputs.npz"}
