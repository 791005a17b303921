"""Engines built on the device: kept apart, built once, and their time told apart from that of loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgewright_agent.engines import Engines, cache_folders, with_cache
from edgewright_agent.protocol import (
    Data,
    EnergyPlan,
    Execution,
    FileRef,
    Job,
    Model,
    OpsPlan,
    Samples,
    Scenario,
    Timing,
)
from edgewright_agent.store import Store

TENSORRT, OPENVINO, CPU = "TensorrtExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"
TIMING = Timing(40_000_000, 5_000_000, Samples(), Samples([1]), 1)


def job(*providers: str, sha256: str = "ab" * 32, **options: str) -> Job:
    execution = Execution("onnxruntime", providers, provider_options={TENSORRT: options} if options else {})
    return Job(
        job_id="j",
        model=Model((FileRef("m.onnx", sha256, 1),), "onnx"),
        execution=execution,
        data=Data(evaluation=FileRef("evaluation.npz", "cd" * 32, 1)),
        scenario=Scenario(min_count=1000),
        energy=EnergyPlan(("rapl",)),
        profile_ops=OpsPlan(),
    )


class Compiler:
    """Runs jobs as a provider with a cache does: what is not there it builds."""

    def __init__(self, *, fails: bool = False) -> None:
        self.jobs: list[Job] = []
        self.fails = fails

    def __call__(self, asked: Job) -> Timing:
        self.jobs.append(asked)
        for folder in cache_folders(asked.execution):
            (Path(folder) / "graph_1.engine").write_bytes(b"engine")
        if self.fails:
            raise RuntimeError("the device lost power")
        return TIMING


def prepared(engines: Path, *providers: str, **options: str) -> tuple[Engines, Job]:
    ready = with_cache(job(*providers, **options), str(engines))
    return Engines(ready, str(engines)), ready


def test_a_job_without_a_compiling_provider_is_left_alone(tmp_path: Path) -> None:
    plain = job(CPU)
    assert with_cache(plain, str(tmp_path)) is plain
    compiler = Compiler()
    engines = Engines(plain, str(tmp_path))
    assert engines.build(compiler) is None and engines.notes((CPU,)) == () and compiler.jobs == []


def test_an_empty_cache_is_filled_by_a_short_job_before_and_only_once(tmp_path: Path) -> None:
    compiler = Compiler()
    engines, ready = prepared(tmp_path, TENSORRT, CPU)
    assert engines.build(compiler) == 45_000_000 and engines.notes((TENSORRT,)) == ()
    (built,) = compiler.jobs
    assert built.scenario is not None and built.scenario.max_count == 1
    assert built.energy is None and built.profile_ops is None and built.data.evaluation is None
    assert built.execution == ready.execution
    options = ready.execution.provider_options[TENSORRT]
    assert options["trt_engine_cache_enable"] == "1"
    assert Path(options["trt_engine_cache_path"]).parent == tmp_path
    again, _ = prepared(tmp_path, TENSORRT, CPU)
    assert again.build(compiler) is None and len(compiler.jobs) == 1


def test_models_options_and_providers_do_not_share_engines(tmp_path: Path) -> None:
    asked = [
        job(TENSORRT),
        job(TENSORRT, sha256="ef" * 32),
        job(TENSORRT, trt_fp16_enable="1"),
        job(OPENVINO),
        replace(job(TENSORRT), data=Data(shapes={"x": (1, 3)})),
    ]
    folders = [cache_folders(with_cache(one, str(tmp_path)).execution) for one in asked]
    assert len({folder for (folder,) in folders}) == len(asked)


def test_engines_that_were_not_finished_are_built_anew(tmp_path: Path) -> None:
    engines, ready = prepared(tmp_path, TENSORRT)
    with pytest.raises(RuntimeError):
        engines.build(Compiler(fails=True))
    (folder,) = cache_folders(ready.execution)
    assert list(Path(folder).iterdir())
    compiler = Compiler()
    assert Engines(ready, str(tmp_path)).build(compiler) == 45_000_000 and len(compiler.jobs) == 1


def test_a_folder_of_the_user_s_is_never_emptied(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "graph_1.engine").write_bytes(b"built elsewhere")
    compiler = Compiler()
    engines, _ = prepared(tmp_path / "engines", TENSORRT, trt_engine_cache_path=str(own))
    assert engines.build(compiler) is None and compiler.jobs == []
    assert (own / "graph_1.engine").read_bytes() == b"built elsewhere"


def test_engines_built_in_the_measured_run_are_told(tmp_path: Path) -> None:
    engines, ready = prepared(tmp_path, TENSORRT)
    engines.build(Compiler())
    (folder,) = cache_folders(ready.execution)
    (Path(folder) / "graph_2.engine").write_bytes(b"for another version of the compiler")
    assert engines.notes((TENSORRT, CPU)) == (
        "engines were built during the measured run, so its load time holds that of building them",
    )


def test_engines_that_were_only_touched_were_not_built(tmp_path: Path) -> None:
    engines, ready = prepared(tmp_path, OPENVINO)
    engines.build(Compiler())
    (folder,) = cache_folders(ready.execution)
    (Path(folder) / "graph_1.engine").touch()
    assert engines.notes((OPENVINO,)) == ()
    (Path(folder) / "graph_1.engine").write_bytes(b"newer!")
    assert len(engines.notes((OPENVINO,))) == 1


def test_a_cache_that_stays_empty_is_told(tmp_path: Path) -> None:
    engines, _ = prepared(tmp_path, TENSORRT)
    assert engines.build(lambda asked: TIMING) is None
    (note,) = engines.notes((TENSORRT, CPU))
    assert "stayed empty" in note
    assert engines.notes((CPU,)) == (), "a provider that did not start builds nothing"


def test_cleaning_removes_engines(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    engines, _ = prepared(Path(store.engines), TENSORRT)
    engines.build(Compiler())
    assert store.clean() >= len(b"engine")
    assert not Path(store.engines).exists()
