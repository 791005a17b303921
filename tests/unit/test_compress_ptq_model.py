"""Steps on the module that prepare it for integers: what each gains is seen in the file as it is executed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.compress import Changed, FileJob, ModelJob
from edgewright.compress.adaround import AdaRound, AdaRoundOptions
from edgewright.compress.chains import pairs
from edgewright.compress.equalize import Equalize, EqualizeOptions
from edgewright.compress.mixed import sqnr_db
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.compress.smooth import Smooth, SmoothOptions
from edgewright.compress.traced import Traced
from edgewright.errors import CompressionError, UnsupportedError
from edgewright.export import Request, exporter
from edgewright.profile import DeviceProfile
from edgewright.profiles import load_profile
from edgewright.workload import Workload
from edgewright.workload_check import torch_outputs

X86, ARM = load_profile("x86-64-linux"), load_profile("raspberry-pi-5")
Input = Callable[[int], torch.Tensor]


def job(
    module: nn.Module, example: Input = nets.image, profile: DeviceProfile | None = X86, format: str = "onnx"
) -> ModelJob:
    samples = tuple((example(seed),) for seed in range(1, 17))
    workload = Workload("net", module, (example(0),), calibration=samples)
    return ModelJob(copy.deepcopy(module).eval(), workload, profile=profile, format=format)


def executed_db(
    module: nn.Module, wanted: nn.Module, work: ModelJob, folder: Path, options: QuantizeOptions
) -> float:
    """Quantize a module's file and compare what it computes on unseen inputs with what is wanted."""
    assert work.profile
    source, out = folder / f"source.{work.format}", folder / f"out.{work.format}"
    example = work.workload.example_inputs
    names = tuple(torch_outputs(module, example, "test"))
    exporter(work.format).export(Request(module, example, names), source)
    samples = tuple(tuple(t.numpy() for t in sample) for sample in work.workload.calibration)
    Quantize().apply(FileJob(source, out, work.format, samples, work.profile), options)
    shape = example[0].shape
    inputs = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in range(100, 120)]
    with torch.no_grad():
        want = np.stack([wanted(x).numpy() for x in inputs])
    exact = work.profile.hardware.is_exact and work.format == "onnx"
    runs = [plain_run([out], work.format, inputs=[x.numpy()], exact=exact) for x in inputs]
    return sqnr_db((want,), (np.stack([next(iter(run.outputs.values())) for run in runs]),))


def gain_db(
    technique: Any, options: Any, work: ModelJob, folder: Path, quantize: QuantizeOptions
) -> tuple[float, Changed]:
    module = copy.deepcopy(work.module)
    before = executed_db(module, module, work, folder, quantize)
    changed = technique.apply(work, options)
    return executed_db(changed.module, module, work, folder, quantize) - before, changed


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_equalizing_gains_where_ranges_are_unlike_and_changes_no_output(format: str, tmp_path: Path) -> None:
    module = nets.Chain().eval()
    work = job(module, format=format)
    gained, changed = gain_db(
        Equalize(), EqualizeOptions(), work, tmp_path, QuantizeOptions(per_channel=False)
    )
    assert gained > 4
    assert changed.notes[0].startswith("3 pairs of layers equalized, channels scaled by up to")
    assert changed.notes[1] == "1 batch normalisations folded"
    x = nets.image(7)
    with torch.no_grad():
        assert torch.allclose(changed.module(x), module(x), rtol=1e-4, atol=1e-4)


def test_equalized_channels_reach_as_far_in_both_layers() -> None:
    module = Equalize().apply(job(nets.Chain()), EqualizeOptions(rounds=200)).module
    first, second = (module.get_parameter(f"features.{n}.weight") for n in (3, 5))
    assert torch.allclose(first.flatten(1).abs().amax(1), second.abs().amax((0, 2, 3)), rtol=1e-2)


def test_chains_end_where_something_else_reads_or_is_not_homogeneous() -> None:
    def found(module: nn.Module, example: Input = nets.image) -> list[tuple[str, str, int]]:
        traced = Traced(module.eval(), job(module, example), "test")
        return [(pair.first.name, pair.second.name, pair.block) for pair in pairs(traced)]

    assert found(nets.Residual()) == []  # relu6, and a sum
    assert found(nets.Dense(), nets.features) == [("layers.0", "layers.2", 1)]
    chain = nets.Chain()
    chain.features[1] = nn.Identity()
    assert found(chain)[-1] == ("features.5", "classify", 4)
    twice = nn.Conv2d(3, 3, 1)
    assert found(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), twice, nn.ReLU(), twice)) == []
    padded = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConstantPad2d(1, 0.5), nn.Conv2d(4, 2, 3))
    assert found(padded) == []
    padded[1] = nn.ZeroPad2d(1)
    assert found(padded) == [("0", "2", 1)]
    assert found(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid(), nn.Conv2d(4, 2, 1))) == []
    grouped = nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, groups=2))
    assert found(grouped) == [("0", "2", 1)]


def test_grouped_convolutions_are_equalized_exactly() -> None:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3, groups=2), nn.LeakyReLU())
    with torch.no_grad():
        module.get_parameter("0.weight")[3] *= 100
    changed = Equalize().apply(job(module), EqualizeOptions()).module
    with torch.no_grad():
        assert torch.allclose(changed(nets.image(3)), module(nets.image(3)), rtol=1e-4, atol=1e-4)


def test_relu6_stays_unless_it_is_said() -> None:
    module = nets.Residual()
    with pytest.raises(CompressionError, match=r"no two layers of the model .* relu6 = 'replace'"):
        Equalize().apply(job(module), EqualizeOptions())
    changed = Equalize().apply(job(module), EqualizeOptions(relu6="replace"))
    assert changed.notes[-1] == "3 ReLU6 replaced by ReLU: values above 6 are no longer cut"
    assert changed.notes[0].startswith("2 pairs")
    assert not any(isinstance(layer, nn.ReLU6) for layer in changed.module.modules())


def test_equalizing_what_is_equal_is_an_error() -> None:
    module = Equalize().apply(job(nets.Chain()), EqualizeOptions(rounds=500)).module
    with pytest.raises(CompressionError, match="changed nothing"):
        Equalize().apply(job(module), EqualizeOptions())


@pytest.mark.parametrize(("format", "least_db"), [("onnx", 3.0), ("tflite", -0.5)])
def test_smoothing_gains_where_activations_have_outliers(
    format: str, least_db: float, tmp_path: Path
) -> None:
    """TFLite's converter folds a normalisation's scale into the weights itself: nothing is left to gain."""
    module = nets.Attention().eval()
    work = job(module, nets.tokens, format=format)
    gained, changed = gain_db(Smooth(), SmoothOptions(), work, tmp_path, QuantizeOptions())
    assert gained > least_db
    assert changed.notes[0].startswith("3 activations smoothed, 2 of them after normalisations")
    with torch.no_grad():
        assert torch.allclose(changed.module(nets.tokens(5)), module(nets.tokens(5)), rtol=1e-4, atol=1e-4)


class Packed(nn.Module):
    """torch's own attention after a normalisation, and a hand-written RMS normalisation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(32)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.scale = nn.Parameter(torch.ones(32))
        self.last = nn.Linear(32, 8)
        with torch.no_grad():
            self.norm.weight[3] *= 50
            self.scale[5] *= 50

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.norm(x)
        x = x + self.attention(seen, seen, seen, need_weights=False)[0]
        result: torch.Tensor = self.last(x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.scale)
        return result


def test_smoothing_finds_packed_attention_and_a_normalisation_written_by_hand() -> None:
    module = Packed().eval()
    changed = Smooth().apply(job(module, nets.tokens), SmoothOptions())
    assert changed.notes[0].startswith("2 activations smoothed, 2 of them after normalisations")
    with torch.no_grad():
        assert torch.allclose(changed.module(nets.tokens(5)), module(nets.tokens(5)), rtol=1e-3, atol=1e-3)


def test_smoothing_leaves_a_normalisation_that_something_else_reads() -> None:
    class After(nn.Module):
        """What is normalised goes around the linear layer too."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(32), nn.Linear(32, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = self.norm(x)
            result: torch.Tensor = seen + self.linear(seen)
            return result

    with pytest.raises(CompressionError, match="no normalisation that linear layers alone read"):
        Smooth().apply(job(After(), nets.tokens), SmoothOptions())


@pytest.mark.parametrize("technique", [Smooth(), AdaRound()])
def test_what_learns_from_samples_needs_them(technique: Any) -> None:
    work = ModelJob(nets.Chain().eval(), Workload("net", nets.Chain(), (nets.image(),)), profile=X86)
    with pytest.raises(CompressionError, match="needs calibration samples and the workload has none"):
        technique.apply(work, technique.options())


class Mixed(nn.Module):
    """Inputs with much in common, so that rounding errors can cancel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
            nn.Conv2d(24, 24, 3, padding=1, groups=4), nn.ReLU(),
            nn.Conv2d(24, 24, (3, 1), stride=2, padding="valid"), nn.ReLU(),
        )  # fmt: skip
        self.classify = nn.Linear(24, 8)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(self.features(image + 1.0).mean((2, 3)))
        return scores


@pytest.mark.parametrize(
    ("format", "profile", "most"), [("onnx", X86, 64), ("onnx", ARM, 127), ("tflite", ARM, 127)]
)
def test_learnt_rounding_is_what_the_quantizer_writes(
    format: str, profile: DeviceProfile, most: int, tmp_path: Path
) -> None:
    work = job(Mixed(), profile=profile, format=format)
    gained, changed = gain_db(AdaRound(), AdaRoundOptions(), work, tmp_path, QuantizeOptions())
    assert gained > (0.5 if most == 64 else 0.1)
    assert "the rounding of 4 layers learnt" in changed.notes[0]
    share = float(changed.notes[0].partition("squared error is ")[2].partition(" ")[0])
    assert share < 0.7
    stored = stored_codes(tmp_path / f"out.{format}", format)
    for name in ("features.3", "features.5", "classify"):
        weight = changed.module.get_parameter(f"{name}.weight").detach().flatten(1)
        codes = weight / (weight.abs().amax(1, keepdim=True) / most)
        assert torch.allclose(codes, codes.round(), atol=1e-3)
        assert sorted(codes.round().flatten().int().tolist()) in stored


def stored_codes(path: Path, format: str) -> list[list[int]]:
    """Every tensor of 8-bit integers in a file, sorted."""
    if format == "onnx":
        import onnx

        tensors = [onnx.numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer]
    else:
        from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

        model = flatbuffers.read_model(bytearray(path.read_bytes()))
        held = (flatbuffers.get_tensor_data(t, model.buffers) for t in model.subgraphs[0].tensors)
        tensors = [values for values in held if values is not None]
    return [sorted(t.astype(int).flatten().tolist()) for t in tensors if t.dtype == np.int8]


def test_learnt_rounding_moves_no_weight_by_more_than_one_step() -> None:
    work = job(Mixed())
    before = copy.deepcopy(work.module)
    module = AdaRound().apply(work, AdaRoundOptions(iterations=50)).module
    for name in ("features.3", "classify"):
        old, new = (m.get_parameter(f"{name}.weight").detach().flatten(1) for m in (before, module))
        step = old.abs().amax(1, keepdim=True) / 64
        assert float(((new - old).abs() / step).max()) < 1 + 1e-4
        peak = old.abs().argmax(1, keepdim=True)
        assert torch.allclose(old.gather(1, peak), new.gather(1, peak))


def test_learnt_rounding_is_the_same_each_time() -> None:
    first, again = (AdaRound().apply(job(Mixed()), AdaRoundOptions()).module.state_dict() for _ in range(2))
    assert all(torch.equal(value, again[key]) for key, value in first.items())


def test_the_grid_is_the_device_s() -> None:
    technique = AdaRound()
    assert technique.profile_facts(AdaRoundOptions(), X86, "onnx") == {"most": 64, "per_channel": True}
    assert technique.profile_facts(AdaRoundOptions(), X86, "tflite") == {"most": 127, "per_channel": True}
    assert technique.profile_facts(AdaRoundOptions(reduce_range=False), X86, "onnx")["most"] == 127
    with pytest.raises(UnsupportedError, match="TFLite has no reduce_range"):
        technique.profile_facts(AdaRoundOptions(reduce_range=True), X86, "tflite")


def test_a_model_that_cannot_be_traced_is_one_line() -> None:
    class Branching(nn.Module):
        """What it computes depends on its input's values."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.linear(x)
            return result if result.sum() > 0 else -result

    with pytest.raises(CompressionError, match=r"equalize: torch\.export cannot trace the model") as caught:
        Equalize().apply(job(Branching(), nets.features), EqualizeOptions())
    assert "\n" not in str(caught.value)


def test_layers_whose_rounding_is_not_learnt_are_counted() -> None:
    module = nets.Dense(16).eval()
    tied = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), module)
    tied[2].weight = tied[0].weight
    samples = tuple((nets.features(seed),) for seed in range(4))
    workload = Workload("tied", tied, (nets.features(),), calibration=samples)
    work = ModelJob(tied.eval(), workload, profile=X86, format="onnx")
    notes = AdaRound().apply(work, AdaRoundOptions(iterations=20)).notes
    assert notes[0].startswith("the rounding of 2 layers learnt")
    assert notes[1:] == ("2 layers more, transposed or used in several places, rounded to the nearest",)


class Split(nn.Module):
    """A convolution whose channels go to two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.left, self.right = nn.Conv2d(3, 16, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
        self.last = nn.Conv2d(8, 5, 3)
        with torch.no_grad():
            self.right.weight[::2] *= 20

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        left, right = self.stem(image).chunk(2, 1)
        scores: torch.Tensor = self.last(torch.relu(self.right(right)) + self.left(left)).mean((2, 3))
        return scores


@pytest.mark.parametrize("technique", [Equalize(), Smooth()], ids=["equalize", "smooth"])
def test_a_chain_ends_where_channels_are_split(technique: Any) -> None:
    with pytest.raises(CompressionError, match=r"no two layers|no normalisation") as error:
        technique.apply(job(Split()), technique.options())
    assert "relu6" not in str(error.value)
