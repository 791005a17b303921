"""Calibrators, bias correction and mixed precision of ``quantize``: judged by the file as it is executed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.compress import FileJob
from edgewright.compress.calibration import BINS, Calibrator, Histogram, Range, calibrate, cut
from edgewright.compress.mixed import sqnr_db
from edgewright.compress.qat_tflite import stretched_weights
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.compress.quantize_tflite import operator_names
from edgewright.config import parse
from edgewright.errors import CompressionError, ConfigError
from edgewright.export import Request, exporter
from edgewright.profiles import load_profile
from edgewright.workload import Array
from edgewright.workload_check import torch_outputs

X86 = load_profile("x86-64-linux")
CALIBRATORS: tuple[Calibrator, ...] = ("minmax", "entropy", "percentile", "mse")


def ranged(
    values: Array, calibrator: Calibrator, *, percentile: float = 99.99, symmetric: bool = False
) -> Range:
    """The range found for one tensor, shown in three parts."""
    parts = [(part.astype(np.float32),) for part in np.array_split(values, 3)]
    found = calibrate(lambda s: {"x": s[0]}, parts, calibrator, percentile=percentile, symmetric=symmetric)
    return found["x"]


def rounding_error(values: Array, within: Range) -> float:
    scale = (within.highest - within.lowest) / 255
    zero = np.rint(-within.lowest / scale)
    codes = np.clip(np.rint(values / scale) + zero, 0, 255)
    return float((((codes - zero) * scale - values) ** 2).mean())


def spiky(seed: int = 0) -> Array:
    """A bell with a few values far outside of it."""
    drawn = np.random.default_rng(seed)
    values = drawn.normal(size=30_000)
    values[:: len(values) // 3] = 40
    return values


def test_minmax_is_the_extremes_with_zero_among_them() -> None:
    assert ranged(np.array([-1.0, 3.0, 2.0]), "minmax") == Range(-1, 3)
    assert ranged(np.array([5.0, 7.0, 6.0]), "minmax") == Range(0, 7)
    assert ranged(np.array([-1.0, 3.0, 2.0]), "minmax", symmetric=True) == Range(-3, 3)


def test_masks_and_broken_values_stretch_no_range() -> None:
    masked = np.array([1.0, -2.0, -3.4e38, np.inf, np.nan, 0.5])
    for calibrator in CALIBRATORS:
        found = ranged(masked, calibrator, percentile=100.0)
        assert -2 <= found.lowest <= 0 <= found.highest <= 1


def test_percentile_cuts_as_much_from_both_ends() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    found = ranged(values, "percentile", percentile=95.0)
    assert found.lowest == pytest.approx(np.quantile(values, 0.025), abs=0.02)
    assert found.highest == pytest.approx(np.quantile(values, 0.975), abs=0.02)
    even = ranged(values, "percentile", percentile=95.0, symmetric=True)
    assert even.highest == -even.lowest == pytest.approx(np.quantile(np.abs(values), 0.95), abs=0.02)
    assert ranged(np.maximum(values, 0), "percentile").lowest == 0


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("values", [spiky(), np.maximum(spiky(), 0), np.abs(spiky()) ** 1.5 - 0.3])
def test_mse_is_the_best_there_is(values: Array, symmetric: bool) -> None:
    errors = {
        calibrator: rounding_error(values, ranged(values, calibrator, symmetric=symmetric))
        for calibrator in CALIBRATORS
    }
    assert min(errors, key=errors.__getitem__) == "mse" or errors["mse"] < 1.05 * min(errors.values())
    whole = ranged(values, "minmax", symmetric=symmetric)
    scanned = [
        rounding_error(values, Range(share * whole.lowest, share * whole.highest))
        for share in np.linspace(0.02, 1, 200)
    ]
    assert errors["mse"] < 1.05 * min(scanned)


def test_entropy_keeps_the_bulk_and_cuts_what_is_alone() -> None:
    found = ranged(spiky(), "entropy")
    assert 2 < found.highest < 20
    even = np.random.default_rng(0).uniform(-1, 1, 50_000)
    assert ranged(even, "entropy").highest > 0.95
    assert ranged(np.maximum(spiky(), 0), "entropy").highest < 20


@pytest.mark.parametrize("seed", [0, 1])
def test_entropy_does_not_cut_a_tail_that_goes_on(seed: int) -> None:
    """As outputs have: most are small, and the ones that matter are not."""
    drawn = np.random.default_rng(seed)
    for values in (np.exp(drawn.uniform(-9, 0, 20_000)), drawn.uniform(-1, 1, 20_000) ** 9):
        found, whole = ranged(values, "entropy"), ranged(values, "minmax")
        assert rounding_error(values, found) < 1.1 * rounding_error(values, whole)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 1000), min_size=8, max_size=8),
    lowest=st.floats(-100, 0),
    highest=st.floats(0, 100),
    zeros=st.integers(0, 10_000),
    symmetric=st.booleans(),
    calibrator=st.sampled_from(CALIBRATORS[1:]),
)
def test_a_cut_lies_within_and_holds_zero(
    counts: list[int], lowest: float, highest: float, zeros: int, symmetric: bool, calibrator: Calibrator
) -> None:
    within = Range(lowest, highest)
    if symmetric:
        within = within.symmetric()
    spread = np.repeat(counts, BINS // 8)
    found = cut(Histogram(within, spread, zeros), calibrator, 99.0, symmetric)
    slack = 1e-6 * max(1.0, highest - lowest)
    assert within.lowest - slack <= found.lowest <= 0 <= found.highest <= within.highest + slack
    assert np.isfinite([found.lowest, found.highest]).all()
    if symmetric:
        assert found.lowest == pytest.approx(-found.highest, abs=slack)


def job(folder: Path, format: str, module: nn.Module, samples: tuple[nets.Tensors, ...]) -> FileJob:
    source = folder / f"source.{format}"
    module = module.eval()
    names = tuple(torch_outputs(module, samples[0], "test"))
    exporter(format).export(Request(module, samples[0], names), source)
    arrays = tuple(tuple(tensor.numpy() for tensor in sample) for sample in samples)
    return FileJob(source, folder / f"out.{format}", format, arrays, X86)


def executed_db(work: FileJob, options: QuantizeOptions, unseen: list[Array]) -> float:
    Quantize().apply(work, options)

    def run(path: Path) -> Array:
        runs = [plain_run([path], work.format, inputs=[x]).outputs for x in unseen]
        return np.stack([next(iter(outputs.values())) for outputs in runs])

    return sqnr_db((run(work.source),), (run(work.out),))


def spiking_images(count: int) -> tuple[nets.Tensors, ...]:
    """One value in all of them is far larger than any other."""
    made = nets.images(count)
    made[0][0][0, 1, 5, 5] = 60.0
    return made


def calibrated_by(name: Calibrator) -> QuantizeOptions:
    if name == "percentile":
        return QuantizeOptions(calibrator=name, percentile=99.9)
    return QuantizeOptions(calibrator=name)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_cutting_ranges_gains_where_single_values_stand_out(format: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3))
    work = job(tmp_path, format, module, spiking_images(8))
    plain = [nets.image(seed).numpy() for seed in range(50, 58)]  # without the spikes
    found = {c: executed_db(work, calibrated_by(c), plain) for c in CALIBRATORS}
    assert all(found[c] > found["minmax"] + 3 for c in ("entropy", "percentile")), found
    assert found["mse"] > found["minmax"] - 0.5, found  # the one value is worth the error of all others


@pytest.mark.parametrize("calibrator", CALIBRATORS)
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_symmetric_ranges_have_their_zero_point_in_the_middle(
    format: str, calibrator: Calibrator, tmp_path: Path
) -> None:
    work = job(tmp_path, format, nets.Chain(), nets.images(4))
    options = QuantizeOptions(calibrator=calibrator, symmetric=True)
    assert executed_db(work, options, [nets.image(60).numpy()]) > 15
    assert zero_points(work) == ({0} if format == "tflite" else {128})
    assert "symmetric" in Quantize().apply(work, options)[0]
    Quantize().apply(work, QuantizeOptions(calibrator=calibrator))
    assert len(zero_points(work)) > 1


def zero_points(work: FileJob) -> set[int]:
    """Of the activations."""
    if work.format == "onnx":
        graph = onnx.load(str(work.out)).graph
        held = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        return {int(held[node.input[2]]) for node in graph.node if node.op_type == "QuantizeLinear"}
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(str(work.out)).get_tensor_details()
    quantized = [d["quantization_parameters"] for d in details if d["dtype"] is np.int8]
    return {int(q["zero_points"][0]) for q in quantized if len(q["zero_points"]) == 1}


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_what_is_zero_in_every_sample_has_steps_too(format: str, symmetric: bool, tmp_path: Path) -> None:
    """A layer that died in training: steps of nothing are refused, or cost the next layer its bias."""
    torch.manual_seed(0)
    dead, after = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
    with torch.no_grad():
        assert dead.bias is not None
        dead.bias -= 100
    work = job(tmp_path, format, nn.Sequential(dead, nn.ReLU(), after, nn.ReLU()), nets.images(4))
    assert executed_db(work, QuantizeOptions(symmetric=symmetric), [nets.image(9).numpy()]) > 30


class Biased(nn.Module):
    """Inputs far from zero, and weights whose rounding errors all have one sign."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.classify = nn.Linear(16, 5)
        with torch.no_grad():
            for layer in (self.first, self.depthwise, self.classify):
                rows = layer.weight.flatten(1)
                step = rows.abs().amax(1, keepdim=True) / 64
                codes = (rows / step).round()
                moved = (codes + 0.4).clamp(-64, 64) * step
                layer.weight.copy_(torch.where(codes.abs() == 64, rows, moved).reshape(layer.weight.shape))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.depthwise(torch.relu(self.first(image + 2.0))))
        scores: torch.Tensor = self.classify(x.mean((2, 3)))
        return scores


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_correcting_biases_gains_where_rounding_errors_add_up(format: str, tmp_path: Path) -> None:
    work = job(tmp_path, format, Biased(), nets.images(8))
    unseen = [nets.image(seed).numpy() for seed in range(50, 60)]
    plain = executed_db(work, QuantizeOptions(), unseen)
    assert executed_db(work, QuantizeOptions(bias_correction=True), unseen) > plain + (
        6 if format == "onnx" else 0
    )
    notes = Quantize().apply(work, QuantizeOptions(bias_correction=True))
    assert notes[1] == "3 biases corrected for the rounding of their weights"


def test_correction_in_tflite_is_what_torch_computes(tmp_path: Path) -> None:
    """Against the mean of the error as torch computes it, for a stride, a padding and a dilation."""
    from edgewright.compress.bias_correction_tflite import _Layer

    options = SimpleNamespace(strideH=2, strideW=1, dilationHFactor=1, dilationWFactor=2)
    torch.manual_seed(0)
    error, x = torch.randn(4, 3, 3, 2), torch.randn(1, 3, 11, 9)  # O, I, H, W
    want = torch.nn.functional.conv2d(x, error, stride=(2, 1), dilation=(1, 2))
    shape = tuple(want.permute(0, 2, 3, 1).shape)
    layer = _Layer("x", 0, "CONV_2D", error.permute(0, 2, 3, 1).numpy(), options, shape)
    got = layer.mean(x.permute(0, 2, 3, 1).numpy().astype(np.float64))
    assert np.allclose(got, want.mean((0, 2, 3)).numpy(), atol=1e-5)


def test_a_matrix_product_has_its_bias_corrected_in_the_sum_after_it(tmp_path: Path) -> None:
    work = job(tmp_path, "onnx", nets.Attention(outlier=1.0), tuple((nets.tokens(s),) for s in range(8)))
    notes = Quantize().apply(work, QuantizeOptions(bias_correction=True))
    assert notes[1] == "6 biases corrected for the rounding of their weights"


class Fragile(nn.Module):
    """A convolution whose channels are so unlike that one scale a tensor ruins it, among better ones."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3),
        )  # fmt: skip
        with torch.no_grad():
            self.get_parameter("layers.2.weight")[0] *= 400
            self.get_parameter("layers.2.bias")[0] = -1e4  # never seen after the ReLU

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(image)
        return result


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_the_worst_node_is_found_and_stays_in_floats(format: str, tmp_path: Path) -> None:
    work = job(tmp_path, format, Fragile(), nets.images(6))
    unseen = [nets.image(seed).numpy() for seed in range(50, 54)]
    plain = executed_db(work, QuantizeOptions(per_channel=False), unseen)
    options = QuantizeOptions(per_channel=False, keep_worst=1)
    assert executed_db(work, options, unseen) > plain + 6
    notes = Quantize().apply(work, options)
    worst = weighted_names(work)[1]
    assert notes[1] == f"1 of 4 nodes stay in floats: {worst}"
    said: list[str] = []
    budget = QuantizeOptions(per_channel=False, min_sqnr_db=plain + 5)
    heard = FileJob(work.source, work.out, format, work.calibration, X86, said.append)
    assert Quantize().apply(heard, budget)[1].endswith(f"in floats: {worst}")
    assert executed_db(work, budget, unseen) > plain + 3
    assert "calibrating, ranges: sample 6 of 6" in said
    assert "quantizing node 4 of 4 alone" in said


def weighted_names(work: FileJob) -> list[str]:
    if work.format == "tflite":
        return [name for name, weights in operator_names(bytearray(work.source.read_bytes())) if weights]
    return [node.name for node in onnx.load(str(work.source)).graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_budget_is_kept_or_said_to_be_out_of_reach(format: str, tmp_path: Path) -> None:
    work = job(tmp_path, format, Fragile(), nets.images(4))
    with pytest.raises(
        CompressionError, match=r"with all but one of 4 nodes in floats, min_sqnr_db asks for 300"
    ):
        Quantize().apply(work, QuantizeOptions(min_sqnr_db=300.0))
    with pytest.raises(CompressionError, match="keep_worst = 4 of 4 nodes leaves nothing to quantize"):
        Quantize().apply(work, QuantizeOptions(keep_worst=4))
    assert not work.out.exists()
    notes = Quantize().apply(work, QuantizeOptions(min_sqnr_db=1.0))
    assert notes[1] == "every node keeps to the 1 dB that were asked for: none stays in floats"


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_nodes_are_kept_and_chosen_by_name(format: str, mode: Any, tmp_path: Path) -> None:
    work = job(tmp_path, format, nets.Dense(256), tuple((nets.features(s),) for s in range(4)))
    if format == "tflite":
        first, last = weighted_names(work)
    else:
        first, last = (n.name for n in onnx.load(str(work.source)).graph.node if n.op_type == "Gemm")
    Quantize().apply(work, QuantizeOptions(mode=mode, keep=(first,)))
    kept = work.out.read_bytes()
    Quantize().apply(work, QuantizeOptions(mode=mode, only=(last,)))
    chosen = work.out.read_bytes()
    Quantize().apply(work, QuantizeOptions(mode=mode))
    assert len(work.out.read_bytes()) < min(len(kept), len(chosen))
    if mode == "dynamic" and format == "tflite":
        assert kept == chosen
    with pytest.raises(CompressionError, match="no node is called 'nothing'"):
        Quantize().apply(work, QuantizeOptions(mode=mode, keep=("nothing",)))


@pytest.mark.parametrize(
    "asked", [{"bias_correction": True}, {"keep_worst": 1}, {"min_sqnr_db": 20.0}, {"symmetric": True}]
)
def test_what_needs_calibration_is_refused_without(asked: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(asked))} needs calibration"):
        parse({"mode": "dynamic", **asked}, QuantizeOptions, "test")


@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_onnxruntime_executes_in_floats_what_is_kept(kind: str, tmp_path: Path) -> None:
    """Its optimizer would quantize float weights between integers again, with one scale in all."""
    if kind == "Conv":
        work = job(tmp_path, "onnx", Fragile(), nets.images(2))
    else:
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
        work = job(tmp_path, "onnx", layers, tuple((nets.features(seed),) for seed in range(2)))
    middle = [node.name for node in onnx.load(str(work.source)).graph.node if node.op_type == kind][1]
    Quantize().apply(work, QuantizeOptions(keep=(middle,)))
    assert executed_in_floats(work.out, kind) == 1
    Quantize().apply(work, QuantizeOptions())
    assert executed_in_floats(work.out, kind) == 0


def executed_in_floats(path: Path, kind: str) -> int:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    return sum(node.op_type in (kind, f"Fused{kind}") for node in nodes)


@pytest.mark.parametrize("asked", [{"weight": "int8"}, {"activation": "int8"}, {"reduce_range": False}])
def test_kernels_for_dynamic_ranges_take_one_type(asked: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"mode = 'dynamic' leaves no choice of {next(iter(asked))}"):
        parse({"mode": "dynamic", **asked}, QuantizeOptions, "test")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mode": "dynamic", "calibrator": "mse"}, "calibrator needs calibration"),
        ({"percentile": 99.0}, "calibrator = 'minmax' takes no percentile"),
    ],
)
def test_what_would_not_count_is_refused(asked: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(asked, QuantizeOptions, "test")


class Recurrent(nn.Module):
    """Most of its weights are in recurrent layers, which onnxruntime computes in floats."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recurrent, self.classify = nn.GRU(6, 24, num_layers=2, batch_first=True), nn.Linear(24, 5)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(self.recurrent(series)[0][:, -1])
        return scores


def test_the_notes_say_what_stays_in_floats(tmp_path: Path) -> None:
    torch.manual_seed(0)
    work = job(tmp_path, "onnx", Recurrent(), tuple((torch.randn(1, 4, 6),) for _ in range(4)))
    notes = Quantize().apply(work, QuantizeOptions())
    weights = 3 * 24 * (6 + 24 + 24 + 24)
    share = weights / (weights + 24 * 5) * 100
    assert f"{share:.0f} % of the weights stay in floats, those of 2 GRU" in notes
    work = job(tmp_path, "onnx", nets.Dense(64), tuple((nets.features(seed),) for seed in range(2)))
    assert not any("stay in floats" in note for note in Quantize().apply(work, QuantizeOptions()))


class Upsampling(nn.Module):
    """As a U-Net's way back, with one channel far larger than the others."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down, self.up = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ConvTranspose2d(16, 16, 2, stride=2)
        self.last = nn.Conv2d(16, 4, 3, padding=1)
        with torch.no_grad():
            self.up.weight[:, 0] *= 50

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.last(torch.relu(self.up(torch.relu(self.down(image)))))
        return scores


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_transposed_convolutions_are_nodes_with_weights(format: str, tmp_path: Path) -> None:
    work = job(tmp_path, format, Upsampling(), nets.images(4))
    notes = Quantize().apply(work, QuantizeOptions(per_channel=False, keep_worst=1))
    (kept,) = (note for note in notes if "stay in floats:" in note)
    assert kept.startswith("1 of 3 nodes stay in floats: ")
    name = kept.rpartition(": ")[2]
    if format == "onnx":
        kinds = {node.name: node.op_type for node in onnx.load(str(work.source)).graph.node}
        assert kinds[name] == "ConvTranspose"
    else:
        assert "ConvTranspose" in name
    Quantize().apply(work, QuantizeOptions(bias_correction=True))


def test_transposed_convolutions_keep_the_grid_of_seven_bits(tmp_path: Path) -> None:
    work = job(tmp_path, "tflite", Upsampling(), nets.images(2))
    ranges = stretched_weights(bytearray(work.source.read_bytes()), per_channel=True)
    assert sorted(np.size(found["max"]) for found in ranges.values()) == [4, 16, 16]
