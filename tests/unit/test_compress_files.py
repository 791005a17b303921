from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.compress import FileJob
from edgewright.compress.fp16 import Fp16, Fp16Options
from edgewright.compress.qat import Qat, QatOptions
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.compress.quantize_onnx import host_cpu_flags
from edgewright.errors import BuildError, CompressionError, ConfigError, UnsupportedError
from edgewright.export import Request, exporter
from edgewright.profile import DeviceProfile, Int8Format
from edgewright.profiles import load_profile
from edgewright.workload import Array
from edgewright.workload_check import torch_outputs

X86, ARM = load_profile("x86-64-linux"), load_profile("raspberry-pi-5")


def job(
    folder: Path,
    format: str = "onnx",
    module: torch.nn.Module | None = None,
    samples: tuple[nets.Tensors, ...] | None = None,
    profile: DeviceProfile = X86,
) -> FileJob:
    module = (module or nets.Residual()).eval()
    samples = nets.images(8) if samples is None else samples
    example = samples[0] if samples else (nets.image(),)
    source = folder / f"source.{format}"
    names = tuple(torch_outputs(module, example, "test"))
    exporter(format).export(Request(module, example, names), source)
    calibration = tuple(tuple(tensor.numpy() for tensor in sample) for sample in samples)
    return FileJob(source, folder / f"out.{format}", format, calibration, profile)


def run(path: Path, x: Array) -> Array:
    (output,) = plain_run([path], path.suffix[1:], inputs=[x]).outputs.values()
    return output


def cosine(a: Array, b: Array) -> float:
    return float(np.dot(a.ravel(), b.ravel()) / np.linalg.norm(a) / np.linalg.norm(b))


def optimized(path: Path) -> Counter[str]:
    """The operators that onnxruntime really executes."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def zero_point_kinds(path: Path) -> set[str]:
    graph = onnx.load(str(path)).graph
    kinds = {t.name: onnx.helper.tensor_dtype_to_np_dtype(t.data_type).name for t in graph.initializer}
    return {kinds[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}


def test_static_int8_executes_as_integers_through_relu6_residual_and_mean(tmp_path: Path) -> None:
    work = job(tmp_path)
    Quantize().apply(work, QuantizeOptions())
    executed = optimized(work.out)
    assert executed["QLinearConv"] == 4
    assert executed["QLinearAdd"] == 1
    assert executed["QLinearGlobalAveragePool"] == 1
    assert not {"Conv", "Clip", "FusedConv", "Add"} & set(executed)
    x = nets.image(99).numpy()
    assert cosine(run(work.out, x), run(work.source, x)) > 0.99


def test_the_profile_chooses_the_integers(tmp_path: Path) -> None:
    work = job(tmp_path)
    notes = Quantize().apply(work, QuantizeOptions())
    assert zero_point_kinds(work.out) == {"uint8"}
    assert notes == ("static int8: uint8 activations x int8 weights in 7 bits per channel",)
    levels = [onnx.numpy_helper.to_array(t) for t in onnx.load(str(work.out)).graph.initializer]
    assert max(int(np.abs(t.astype(int)).max()) for t in levels if t.dtype == np.int8 and t.ndim > 1) <= 64

    other = FileJob(work.source, tmp_path / "arm.onnx", "onnx", work.calibration, ARM)
    notes = Quantize().apply(other, QuantizeOptions())
    assert zero_point_kinds(other.out) == {"int8"}
    assert notes[0] == "static int8: int8 activations x int8 weights per channel"


def test_the_recipe_may_overrule_the_profile(tmp_path: Path) -> None:
    work = job(tmp_path)
    options = QuantizeOptions(activation="int8", per_channel=False)
    assert Quantize().profile_facts(options, X86, "onnx") == {
        "activation": "int8",
        "weight": "int8",
        "per_channel": False,
        "reduce_range": True,
    }
    Quantize().apply(work, options)
    assert zero_point_kinds(work.out) == {"int8"}


@pytest.mark.skipif(
    not host_cpu_flags() or bool(host_cpu_flags() & {"avx_vnni", "avx512_vnni"}),
    reason="this host computes full-range weights exactly",
)
def test_a_host_that_saturates_says_so(tmp_path: Path) -> None:
    notes = Quantize().apply(job(tmp_path, profile=ARM), QuantizeOptions())
    assert "exact as Arm's" in notes[1]


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_int8_is_near_fp32_and_a_third_of_its_size(mode: Any, format: str, tmp_path: Path) -> None:
    module = nets.Residual(64)
    work = job(tmp_path, format, module)
    Quantize().apply(work, QuantizeOptions(mode=mode))
    x = nets.image(99).numpy()
    assert cosine(run(work.out, x), run(work.source, x)) > 0.99
    assert work.out.stat().st_size < work.source.stat().st_size / 2
    assert run(work.out, x).dtype == np.float32


def test_dynamic_convolutions_have_a_scale_for_each_channel(tmp_path: Path) -> None:
    module = nets.Residual(32)
    with torch.no_grad():
        stem = module.stem[0]
        assert isinstance(stem, torch.nn.Conv2d)
        stem.weight[0] *= 1000  # one loud channel, which a single scale would drown the others for
        stem.bias[0] = 0  # type: ignore[index]
    work = job(tmp_path, module=module)
    x = nets.image(99).numpy()
    errors = {}
    for per_channel in (True, False):
        Quantize().apply(work, QuantizeOptions(mode="dynamic", per_channel=per_channel))
        errors[per_channel] = float(np.abs(run(work.out, x) - run(work.source, x)).max())
    assert errors[True] < errors[False] / 4


def test_a_channel_that_training_switched_off_keeps_its_bias_in_tflite(tmp_path: Path) -> None:
    module = torch.nn.Conv2d(3, 4, 1)
    with torch.no_grad():
        torch.nn.init.normal_(module.weight, generator=torch.Generator().manual_seed(0))
        module.weight[1] = 0
        module.bias[:] = torch.tensor([0.0, 3.0, 0.0, 0.0])  # type: ignore[index]
    work = job(tmp_path, "tflite", module)
    Quantize().apply(work, QuantizeOptions())
    dead = run(work.out, nets.image(99).numpy())[0, 1]
    assert np.abs(dead - 3.0).max() < 0.05


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_static_int8_needs_calibration(format: str, tmp_path: Path) -> None:
    work = job(tmp_path, format, samples=())
    with pytest.raises(CompressionError, match="needs calibration samples and the workload has none"):
        Quantize().apply(work, QuantizeOptions())


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize(
    ("technique", "options"), [(Quantize(), QuantizeOptions(mode="dynamic")), (Fp16(), Fp16Options())]
)
def test_changing_nothing_is_an_error(technique: Any, options: Any, format: str, tmp_path: Path) -> None:
    work = job(tmp_path, format, nets.NoWeights(), ((nets.features(),),))
    with pytest.raises(CompressionError, match="changed nothing"):
        technique.apply(work, options)
    assert not work.out.exists()


@pytest.mark.parametrize(
    "options",
    [
        QuantizeOptions(weight="uint8", activation="uint8"),
        QuantizeOptions(activation="uint8"),
        QuantizeOptions(reduce_range=True),
    ],
)
def test_what_tflite_has_not_is_unsupported(options: QuantizeOptions) -> None:
    with pytest.raises(UnsupportedError, match="TFLite has no"):
        Quantize().profile_facts(options, ARM, "tflite")


def test_integers_that_no_kernel_multiplies_are_one_clear_line() -> None:
    unsigned = replace(ARM, numeric=replace(ARM.numeric, int8=Int8Format("uint8", "uint8")))
    cases: tuple[tuple[Any, Any, DeviceProfile, str], ...] = (
        (Quantize(), QuantizeOptions(weight="uint8"), ARM, "leave weight out"),
        (Quantize(), QuantizeOptions(activation="int8", weight="uint8"), X86, "give both the same type"),
        (Quantize(), QuantizeOptions(activation="int8"), unsigned, "leave activation out"),
        (Qat(), QatOptions(activation="int8"), unsigned, "leave activation out"),
    )
    for technique, options, profile, mend in cases:
        with pytest.raises(ConfigError, match="no kernel multiplies int8 activations by uint8") as told:
            technique.profile_facts(options, profile, "onnx")
        assert told.value.mend == mend
        with pytest.raises(ConfigError, match="no kernel"):
            technique.on_device(options, profile)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_fp16_halves_the_file_and_keeps_the_types_of_inputs_and_outputs(format: str, tmp_path: Path) -> None:
    work = job(tmp_path, format, nets.Residual(64))
    Fp16().apply(work, Fp16Options())
    x = nets.image(99).numpy()
    assert cosine(run(work.out, x), run(work.source, x)) > 0.9999
    assert run(work.out, x).dtype == np.float32
    assert work.out.stat().st_size < work.source.stat().st_size * 0.6


def test_fp16_leaves_the_operators_it_is_told_to(tmp_path: Path) -> None:
    work = job(tmp_path)
    assert "% of the weights stay in floats, those of" in Fp16().apply(work, Fp16Options(keep=("Conv",)))[1]
    graph = onnx.load(str(work.out)).graph
    kinds = {t.name: t.data_type for t in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert all(kinds.get(node.input[1], 1) == onnx.TensorProto.FLOAT for node in convolutions)


class Wide(nn.Module):
    """In the middle, at the output or in a weight: more than 16 bits hold."""

    def __init__(self, where: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.where = where
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        self.register_buffer("large", torch.full((1, 8, 1, 1), 1e6))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.first(image).relu()
        if self.where == "middle":
            x = (x * 1e6).relu() * 1e-6
        if self.where == "weight":
            x = x / self.large * self.large
        x = torch.as_tensor(self.second(x))
        return x * 1e6 if self.where == "output" else x


@pytest.mark.parametrize("where", ["nowhere", "middle", "weight", "output"])
def test_fp16_computes_in_fp32_what_is_too_large_for_it(where: str, tmp_path: Path) -> None:
    work = job(tmp_path, module=Wide(where))
    notes = Fp16().apply(work, Fp16Options())
    onnx.checker.check_model(onnx.load(str(work.out)), full_check=True)
    x = nets.image(99).numpy()
    assert cosine(run(work.out, x), run(work.source, x)) > 0.9999
    assert np.isfinite(run(work.out, x)).all()
    said = [note for note in notes if "nodes stay in fp32, their values are beyond 65504" in note]
    assert len(said) == (where != "nowhere")
    halves = [
        t for t in onnx.load(str(work.out)).graph.initializer if t.data_type == onnx.TensorProto.FLOAT16
    ]
    assert any(len(tensor.dims) == 4 for tensor in halves)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_file_that_is_no_model_is_one_line(format: str, tmp_path: Path) -> None:
    source = tmp_path / f"source.{format}"
    source.write_bytes(b"not a model at all")
    work = FileJob(source, tmp_path / f"out.{format}", format, ((np.zeros((1, 3), np.float32),),), X86)
    with pytest.raises(BuildError) as caught:
        Quantize().apply(work, QuantizeOptions())
    assert "\n" not in str(caught.value)


def test_compression_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for kind in ("onnx", "tflite"):
        work = job(tmp_path, kind)
        Quantize().apply(work, QuantizeOptions())
        Fp16().apply(work, Fp16Options())
    assert capfd.readouterr() == ("", "")
