from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.plain_runner import plain_run

from edgewright.artifact import Artifact, sha256_file
from edgewright.build import build
from edgewright.errors import (
    BuildError,
    CompressionError,
    ConfigError,
    ExportError,
    ModelRejected,
    QualityError,
    UnsupportedError,
)
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.reference import ReferenceRun
from edgewright.tensorfile import read_arrays
from edgewright.workloads import WorkloadSource

WORKLOAD = """
import pathlib
import numpy as np
import torch
import side
from edgewright.workload import Evaluation, Workload
from tests.nets import Residual, image, images

HERE = pathlib.Path(__file__).parent

def workload():
    with (HERE / "runs").open("a") as log:
        log.write("x")
    inputs = np.concatenate([image(seed).numpy() for seed in range(4)])
    return Workload(
        name=(HERE / "name.txt").read_text(),
        model=Residual(16),
        example_inputs=(image(),),
        calibration=images(side.SAMPLES),
        evaluate=Evaluation("mean", (inputs,), lambda outputs: float(outputs[0].mean())),
    )
"""


class Folder:
    """A workload with a helper module and a data file, and a count of how often its factory ran."""

    def __init__(self, path: Path, text: str = WORKLOAD) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path / "net.py"
        self.file.write_text(text)
        (path / "side.py").write_text("SAMPLES = 2\n")
        (path / "name.txt").write_text("net")
        (path / "runs").write_text("")

    @property
    def source(self) -> WorkloadSource:
        return WorkloadSource.parse(f"{self.file}:workload")

    @property
    def runs(self) -> int:
        return len((self.path / "runs").read_text())

    def build(self, recipe: str = "fp32", profile: str = "x86-64-linux", **more: Any) -> Artifact:
        given = {"cache": self.path / "cache", "runner": plain_run, "format": "onnx", **more}
        chosen = given.pop("format")
        return build(self.source, load_recipe(recipe), profile, load_profile(profile), chosen, **given)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "workload")


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_an_artifact_has_all_that_a_device_is_held_to(format: str, folder: Folder) -> None:
    made = folder.build("int8-static", format=format)
    assert made.format == format
    assert made.path.name == f"{made.sha256}.{format}"
    assert sha256_file(made.path) == made.sha256
    assert made.size_bytes == made.path.stat().st_size
    assert made.inputs and made.expected and made.evaluation and made.provenance and made.quality
    inputs, expected = read_arrays(made.inputs), read_arrays(made.expected)
    again = plain_run([made.path], format, inputs=list(inputs.values()))
    assert list(again.inputs) == list(inputs)
    assert all(np.array_equal(again.outputs[name], expected[name]) for name in expected)
    assert {v.shape for v in read_arrays(made.evaluation).values()} == {(4, 3, 16, 16)}
    assert list(read_arrays(made.evaluation)) == list(inputs)
    assert made.parity and 0.99 < made.parity.cosine <= 1
    assert made.quality.metric == "mean"
    assert made.quality.samples == 4
    assert made.quality.value == pytest.approx(made.quality.baseline, abs=0.01)
    assert made.provenance.workload == "net"
    assert made.provenance.recipe == "int8-static"
    assert made.provenance.profile == "x86-64-linux"
    assert dict(made.provenance.versions)["torch"]
    assert made.tolerance is not None and made.tolerance.cosine == 0.97


def test_a_second_build_runs_nothing(folder: Folder) -> None:
    first = folder.build()
    assert folder.build(runner=pytest.fail, progress=pytest.fail) == first
    assert folder.runs == 1


def test_a_second_process_imports_no_torch(folder: Folder) -> None:
    folder.build()
    code = (
        "import sys; from pathlib import Path\n"
        "from edgewright.build import build; from edgewright.profiles import load_profile\n"
        "from edgewright.recipe import load_recipe; from edgewright.workloads import WorkloadSource\n"
        f"made = build(WorkloadSource.parse({str(folder.source)!r}), load_recipe('fp32'), 'p',\n"
        f"    load_profile('x86-64-linux'), 'onnx', cache=Path({str(folder.path / 'cache')!r}))\n"
        "print(made.sha256, bool({'torch', 'onnx', 'net', 'side'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"
    assert folder.runs == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("net.py", WORKLOAD + "\n# another comment\n"),
        ("side.py", "SAMPLES = 3\n"),
        ("name.txt", "other"),
    ],
)
def test_editing_what_the_workload_read_builds_again(name: str, text: str, folder: Folder) -> None:
    folder.build("int8-static")
    (folder.path / name).write_text(text)
    made = folder.build("int8-static")
    assert folder.runs == 2
    assert made.provenance is not None
    assert made.provenance.workload == (folder.path / "name.txt").read_text()


def test_going_back_finds_the_earlier_build(folder: Folder) -> None:
    first = folder.build()
    (folder.path / "name.txt").write_text("other")
    folder.build()
    (folder.path / "name.txt").write_text("net")
    assert folder.build(runner=pytest.fail) == first
    assert folder.runs == 2


def test_a_new_file_beside_the_workload_does_not_matter(folder: Folder) -> None:
    folder.build()
    (folder.path / "notes.md").write_text("")
    folder.build(runner=pytest.fail)


@pytest.mark.long
def test_two_caches_get_the_same_bytes(folder: Folder, tmp_path: Path) -> None:
    for kind in ("onnx", "tflite"):
        for recipe in ("int8-static", "prune50-int8"):
            one = folder.build(recipe, format=kind)
            two = folder.build(recipe, format=kind, cache=tmp_path / "other")
            assert one.sha256 == two.sha256
            assert one.path != two.path


def test_recipes_that_differ_in_file_steps_share_one_export(folder: Folder) -> None:
    stages: dict[str, list[str]] = {}
    for recipe in ("fp32", "fp16", "int8-static", "prune50", "prune50-int8"):
        stages[recipe] = []
        folder.build(recipe, progress=stages[recipe].append)
    exports = [recipe for recipe, said in stages.items() if "exporting to onnx" in said]
    assert exports == ["fp32", "prune50"]
    assert folder.runs == 1


def test_profiles_that_agree_share_a_file_and_others_do_not(folder: Folder) -> None:
    pi4 = folder.build("int8-static", "raspberry-pi-4")
    pi5 = folder.build("int8-static", "raspberry-pi-5", runner=pytest.fail)
    x86 = folder.build("int8-static", "x86-64-linux")
    assert pi4.sha256 == pi5.sha256 != x86.sha256
    assert pi5.provenance is not None and pi5.provenance.profile == "raspberry-pi-5"


@pytest.mark.parametrize(
    ("recipe", "profile", "exact"),
    [
        ("int8-static", "raspberry-pi-5", True),
        ("int8-static", "x86-64-linux", False),
        ("fp32", "raspberry-pi-5", False),
    ],
)
def test_what_arm_computes_is_computed_exactly(
    folder: Folder, recipe: str, profile: str, exact: bool
) -> None:
    asked: list[bool] = []

    def run(*args: Any, **given: Any) -> ReferenceRun:
        asked.append(given["exact"])
        return plain_run(*args, **given)

    folder.build(recipe, profile, runner=run)
    assert asked[-1] is exact


def test_a_damaged_file_in_the_cache_is_made_again(folder: Folder) -> None:
    first = folder.build()
    for purpose in ("expected", "inputs", "evaluation", "path"):
        path: Path = getattr(first, purpose)
        good = path.read_bytes()
        for damage in (b"rubbish", b"", None):
            path.unlink()
            if damage is not None:
                path.write_bytes(damage)
            assert folder.build() == first
            assert path.read_bytes() == good


def test_a_damaged_record_is_passed_over(folder: Folder) -> None:
    first = folder.build()
    for damage in ("", '{"workload": "x"}'):
        for path in (folder.path / "cache" / "records").glob("*/*.json"):
            path.write_text(damage)
        assert folder.build() == first
        assert folder.build(runner=pytest.fail) == first


def _build_elsewhere(path: Path, results: Any) -> None:
    results.put(Folder.build(_existing(path), "int8-static").sha256)


def _existing(path: Path) -> Folder:
    made = Folder.__new__(Folder)
    made.path, made.file = path, path / "net.py"
    return made


@pytest.mark.long
def test_processes_that_build_the_same_do_not_disturb_each_other(folder: Folder) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_build_elsewhere, args=(folder.path, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    hashes = {results.get(timeout=120) for _ in workers}
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(hashes) == 1
    assert folder.build("int8-static", runner=pytest.fail).sha256 in hashes
    assert list((folder.path / "cache").rglob(".*")) == []


def test_threads_that_ask_for_the_same_share_one_build(folder: Folder) -> None:
    made: list[Artifact] = []
    threads = [threading.Thread(target=lambda: made.append(folder.build())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 3
    assert made[0] == made[1] == made[2]
    assert folder.runs == 1


def bent(amount: float, shape: tuple[int, ...] | None = None) -> Any:
    """A runner whose outputs are off: the sign of every second value is turned in proportion."""

    def run(*args: Any, **kwargs: Any) -> ReferenceRun:
        right = plain_run(*args, **kwargs)
        ((name, value),) = right.outputs.items()
        wrong = value + amount * np.arange(value.size, dtype=value.dtype).reshape(value.shape)
        return replace(right, outputs={name: wrong if shape is None else wrong.reshape(shape)})

    return run


def test_an_export_that_computes_something_else_says_by_how_much(folder: Folder) -> None:
    with pytest.raises(
        QualityError, match=r"the onnx export: output 'output' is not what torch computes: cosine 0\.\d+"
    ) as caught:
        folder.build(runner=bent(1.0))
    assert "is under 0.9999 and the largest difference 4 is over 0.0001" in str(caught.value)
    with pytest.raises(QualityError):
        folder.build("int8-static", runner=bent(1.0))  # the failed export was not kept


def test_a_small_difference_passes_and_is_told(folder: Folder) -> None:
    made = folder.build(runner=bent(1e-5))
    assert made.parity is not None
    assert made.parity.max_abs == pytest.approx(4e-5, rel=0.01)


def test_a_compressed_file_is_held_to_the_recipe_s_tolerance(folder: Folder) -> None:
    folder.build("fp32")
    strict = replace(load_recipe("int8-dynamic"), tolerance=load_recipe("fp32").tolerance)
    with pytest.raises(
        QualityError, match=r"int8-dynamic \(onnx\): output 'output' is not what torch computes"
    ):
        build(
            folder.source,
            strict,
            "x86-64-linux",
            load_profile("x86-64-linux"),
            "onnx",
            cache=folder.path / "cache",
            runner=bent(0.3),
        )


def test_outputs_of_another_shape_are_named(folder: Folder) -> None:
    with pytest.raises(QualityError, match=r"output 'output' has shape \(5, 1\), \(1, 5\) in torch"):
        folder.build(runner=bent(0.0, (5, 1)))


def test_a_file_that_the_runtime_refuses_is_an_export_error(folder: Folder) -> None:
    def refuse(*args: Any, **kwargs: Any) -> ReferenceRun:
        raise ModelRejected("local", "it has no operator Foo")

    with pytest.raises(ExportError, match="the onnx file does not run here: it has no operator Foo"):
        folder.build(runner=refuse)


def test_a_step_that_cannot_do_anything_fails_the_build(tmp_path: Path) -> None:
    text = WORKLOAD.replace("Residual(16)", "NoWeights()").replace("import Residual", "import NoWeights")
    folder = Folder(tmp_path / "none", text)
    for recipe in ("fp16", "prune50"):
        with pytest.raises(CompressionError):
            folder.build(recipe)


def test_notes_of_all_steps_come_along(folder: Folder) -> None:
    made = folder.build("prune50-int8")
    assert made.provenance is not None
    notes = made.provenance.notes
    assert notes[0].startswith("pruned ") and notes[0].endswith("not fine-tuned: workload has no training")
    assert notes[1].startswith("static int8: uint8 activations")
    assert folder.build("prune50-int8", runner=pytest.fail).provenance == made.provenance


def test_a_score_that_is_no_number_is_the_workload_s_fault(tmp_path: Path) -> None:
    text = WORKLOAD.replace("float(outputs[0].mean())", "float('nan')")
    with pytest.raises(ConfigError, match="score is nan, not a number"):
        Folder(tmp_path / "nan", text).build()


def test_a_workload_without_evaluate_has_no_quality(tmp_path: Path) -> None:
    lines = [line for line in WORKLOAD.splitlines() if "evaluate=" not in line]
    made = Folder(tmp_path / "plain", "\n".join(lines)).build()
    assert made.quality is None
    assert made.evaluation is None


def test_an_unknown_format_is_refused_before_anything_is_loaded(folder: Folder) -> None:
    with pytest.raises(UnsupportedError, match="unknown format 'onx'"):
        folder.build(format="onx")
    assert folder.runs == 0


def test_a_failed_build_leaves_nothing_that_answers(folder: Folder) -> None:
    with pytest.raises(BuildError):
        folder.build(runner=bent(1.0))
    assert folder.build().parity is not None
