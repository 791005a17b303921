"""The two examples, built for real and judged as executed. Their cache outlives the run: a hit is a hit."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgewright.artifact import Artifact
from edgewright.build import build
from edgewright.compress.quantize_onnx import host_cpu_flags
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.tensorfile import read_arrays
from edgewright.workloads import WorkloadSource

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "test-cache"
PROFILE = load_profile("x86-64-linux")


def made(example: str, recipe: str, format: str) -> Artifact:
    source = WorkloadSource.parse(f"{ROOT}/examples/{example}.py:workload")
    return build(source, load_recipe(recipe), PROFILE.name, PROFILE, format, cache=CACHE)


def score(artifact: Artifact) -> float:
    assert artifact.quality is not None
    return artifact.quality.value


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_digits_lose_less_than_a_point_to_int8_as_executed(format: str) -> None:
    fp32 = made("digits", "fp32", format)
    assert fp32.quality is not None
    assert fp32.quality.metric == "accuracy"
    assert fp32.quality.samples == 360
    assert score(fp32) > 0.98
    for recipe in ("int8-static", "int8-dynamic", "fp16"):
        assert score(made("digits", recipe, format)) >= score(fp32) - 0.01


def test_digits_are_fine_tuned_after_pruning() -> None:
    pruned = made("digits", "prune50", "onnx")
    assert pruned.size_bytes < made("digits", "fp32", "onnx").size_bytes * 0.65
    assert score(pruned) > 0.97
    assert pruned.provenance is not None
    assert pruned.provenance.notes[0].endswith("fine-tuned: 6 epochs")


@pytest.mark.long
def test_efficientnet_agrees_with_itself_in_both_formats() -> None:
    for kind in ("onnx", "tflite"):
        fp32 = made("efficientnet_lite0", "fp32", kind)
        assert fp32.quality is not None
        assert (score(fp32), fp32.quality.baseline, fp32.quality.samples) == (1.0, 1.0, 54)
        assert fp32.parity is not None and fp32.parity.max_abs < 1e-4
        int8 = made("efficientnet_lite0", "int8-static", kind)
        assert score(int8) > 0.8
        assert int8.size_bytes < fp32.size_bytes * 0.3


def session(path: Path, optimized: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimized:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def test_efficientnet_int8_executes_as_integers_throughout(tmp_path: Path) -> None:
    session(made("efficientnet_lite0", "int8-static", "onnx").path, tmp_path / "optimized.onnx")
    operators = [node.op_type for node in onnx.load(str(tmp_path / "optimized.onnx")).graph.node]
    assert operators.count("QLinearConv") == 49
    assert operators.count("QLinearAdd") == 9
    assert not {"Conv", "FusedConv", "Add", "Clip", "GlobalAveragePool", "Gemm"} & set(operators)


@pytest.mark.alone
@pytest.mark.skipif(
    not host_cpu_flags() or "avx2" not in host_cpu_flags(), reason="the promise is for x86 with AVX2"
)
@pytest.mark.long
def test_efficientnet_int8_is_faster_than_fp32_on_one_thread() -> None:
    artifacts = [made("efficientnet_lite0", recipe, "onnx") for recipe in ("fp32", "int8-static")]
    sessions = [session(artifact.path) for artifact in artifacts]
    assert artifacts[0].inputs is not None
    feeds = read_arrays(artifacts[0].inputs)
    taken: list[list[int]] = [[], []]
    for _ in range(60):
        for times, one in zip(taken, sessions, strict=True):
            start = time.perf_counter_ns()
            one.run(None, feeds)
            times.append(time.perf_counter_ns() - start)
    fp32, int8 = (float(np.median(times[10:])) for times in taken)
    assert fp32 / int8 >= 1.3, f"fp32 {fp32 / 1e6:.2f} ms, int8 {int8 / 1e6:.2f} ms"
