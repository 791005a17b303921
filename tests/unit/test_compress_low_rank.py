"""Layers become chains of thinner ones that compute nearly the same, or stay with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgewright.compress import ModelJob
from edgewright.compress.decompose import Decomposed, decomposed
from edgewright.compress.factorize import Factorize, FactorizeOptions
from edgewright.compress.vbmf import vbmf_rank
from edgewright.errors import CompressionError
from edgewright.workload import Workload


def low_rank(outputs: int, inputs: int, rank: int, seed: int = 0) -> torch.Tensor:
    drawn = np.random.default_rng(seed)
    product = drawn.normal(size=(outputs, rank)) @ drawn.normal(size=(rank, inputs))
    return torch.from_numpy(product.astype("float32"))


def same(layer: nn.Module, found: Decomposed | str, shape: tuple[int, ...], tolerance: float = 1e-3) -> None:
    assert isinstance(found, Decomposed), found
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want, got = layer(x), found.module(x)
    assert got.shape == want.shape
    assert float((got - want).abs().max()) < tolerance * float(want.abs().max())


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@settings(max_examples=25, deadline=None)
@given(rank=st.integers(1, 12), seed=st.integers(0, 50))
def test_vbmf_finds_the_rank_beneath_noise(rank: int, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    signal = low_rank(60, 90, rank, seed).numpy() / np.sqrt(rank)
    assert vbmf_rank(signal + 0.05 * drawn.normal(size=signal.shape)) == rank


def test_vbmf_finds_nothing_in_noise() -> None:
    assert vbmf_rank(np.random.default_rng(0).normal(size=(64, 100))) == 0


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_of_low_rank_is_taken_apart_exactly(bias: bool) -> None:
    layer = nn.Linear(48, 64, bias=bias)
    layer.weight.data = low_rank(64, 48, 6)
    found = decomposed(layer, FactorizeOptions(rank="energy", energy=0.999999, round_to=1))
    same(layer, found, (5, 48))
    assert isinstance(found, Decomposed) and found.rank == "6"
    assert parameters(found.module) < parameters(layer) / 3


@pytest.mark.parametrize(
    "moves", [{}, {"stride": 2}, {"padding": (1, 2)}, {"dilation": 2, "padding": 2}, {"bias": False}], ids=str
)
@pytest.mark.parametrize("kind", ["tucker", "cp"])
def test_a_convolution_of_low_rank_is_taken_apart(kind: str, moves: dict[str, object]) -> None:
    layer = nn.Conv2d(24, 32, (3, 5), **moves)  # type: ignore[arg-type]
    drawn = np.random.default_rng(3)
    factors = [drawn.normal(size=(size, 4)) for size in (32, 24, 3, 5)]
    layer.weight.data = torch.from_numpy(np.einsum("or,ir,hr,wr->oihw", *factors).astype("float32"))
    options = FactorizeOptions(convolutions=kind, rank="ratio" if kind == "cp" else "energy", energy=0.999999)  # type: ignore[arg-type]
    found = decomposed(layer, options)
    same(layer, found, (2, 24, 12, 14), 0.02)
    assert isinstance(found, Decomposed) and parameters(found.module) < parameters(layer)


def test_a_pointwise_convolution_is_taken_apart() -> None:
    layer = nn.Conv2d(48, 64, 1, stride=2)
    layer.weight.data = low_rank(64, 48, 5)[:, :, None, None]
    same(layer, decomposed(layer, FactorizeOptions(rank="energy", energy=0.999999)), (2, 48, 9, 9))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), "grouped"),
        (nn.Linear(8, 8), "saves too little"),
        (nn.Conv2d(3, 4, 3), "too little"),
    ],
    ids=str,
)
def test_what_stays_has_a_reason(layer: nn.Module, reason: str) -> None:
    found = decomposed(layer, FactorizeOptions(rank="energy", energy=0.99))
    assert isinstance(found, str) and reason in found


@pytest.mark.parametrize("convolutions", ["tucker", "cp"])
@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv2d(24, 32, 3, padding="same", dilation=2), (24, 9, 9)),
        (nn.Conv2d(24, 32, (3, 5), padding=(1, 2), padding_mode="circular"), (24, 9, 9)),
        (nn.Conv2d(24, 32, 3, padding=1, padding_mode="reflect", bias=False), (24, 9, 9)),
        (nn.Conv1d(24, 32, 5, dilation=2, padding=3), (24, 20)),
        (nn.Conv1d(24, 32, 5, stride=2, padding_mode="replicate", padding=2), (24, 20)),
        (nn.Conv3d(24, 32, 3, padding=1), (24, 5, 5, 5)),
    ],
    ids=str,
)
def test_convolutions_of_any_number_of_axes_and_any_padding(
    convolutions: Any, layer: nn.Conv2d, size: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    outer = torch.randn(32, 3), torch.randn(24, 3), torch.randn(layer.weight[0, 0].numel(), 3)
    with torch.no_grad():
        layer.weight.copy_(torch.einsum("or,ir,kr->oik", *outer).reshape(layer.weight.shape) / 30)
    options = FactorizeOptions(convolutions=convolutions, rank="energy", energy=0.9999999, round_to=1)
    found = decomposed(layer, options)
    same(layer, found, (2, *size), tolerance=2e-2 if convolutions == "cp" else 1e-3)
    assert isinstance(found, Decomposed) and parameters(found.module) < parameters(layer) / 2


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv3d])
def test_convolutions_of_one_place_are_split(kind: Any) -> None:
    layer = kind(48, 64, 1, stride=2)
    layer.weight.data = low_rank(64, 48, 6).reshape(layer.weight.shape)
    found = decomposed(layer, FactorizeOptions(rank="energy", energy=0.999999, round_to=1))
    same(layer, found, (2, 48, *([7] * (layer.weight.dim() - 2))))


def net() -> nn.Module:
    torch.manual_seed(0)
    middle = nn.Linear(64, 64)
    middle.weight.data = low_rank(64, 64, 4)
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), middle, nn.ReLU(), nn.Linear(64, 3)).eval()


def job(module: nn.Module) -> ModelJob:
    return ModelJob(module, Workload("net", module, (torch.ones(1, 8),)))


def test_the_first_and_the_last_layer_stay_unless_named() -> None:
    changed = Factorize().apply(job(net()), FactorizeOptions())
    assert changed.notes == ("1 layer decomposed (2 at rank 8), not fine-tuned",)
    named = Factorize().apply(job(net()), FactorizeOptions(layers=("0",), rank="ratio", ratio=0.5))
    assert isinstance(named.module[0], nn.Sequential)  # type: ignore[index]


def test_a_wrong_name_and_a_model_that_cannot_shrink_are_errors() -> None:
    with pytest.raises(CompressionError, match="'1' is no convolution"):
        Factorize().apply(job(net()), FactorizeOptions(layers=("1",)))
    with pytest.raises(CompressionError, match=r"changed nothing: 2 \(rank .* saves too little\)"):
        Factorize().apply(job(net()), FactorizeOptions(rank="energy", energy=0.999999, margin=0.05))


def test_ranks_are_what_vector_units_like_and_never_less_than_is_to_be_kept() -> None:
    layer = nn.Linear(48, 64)
    layer.weight.data = low_rank(64, 48, 9)
    for round_to, rank in ((1, "9"), (8, "16"), (4, "12")):
        options = FactorizeOptions(rank="energy", energy=0.999999, round_to=round_to)
        found = decomposed(layer, options)
        same(layer, found, (5, 48))
        assert isinstance(found, Decomposed) and found.rank == rank


def test_vbmf_is_not_believed_when_it_takes_most_of_a_layer_for_noise() -> None:
    layer = nn.Linear(64, 64)
    noise = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    layer.weight.data = torch.from_numpy(noise)
    found = decomposed(layer, FactorizeOptions(margin=1.0, round_to=1))
    assert vbmf_rank(noise) == 0
    assert isinstance(found, Decomposed)
    values = np.linalg.svd(noise, compute_uv=False) ** 2
    assert values[: int(found.rank)].sum() >= 0.5 * values.sum() > values[: int(found.rank) - 1].sum()


@pytest.mark.parametrize("convolutions", ["tucker", "cp"])
def test_a_stride_makes_the_first_part_dearer(convolutions: Any) -> None:
    """It goes over every position of the input, of which the layer skips three of four."""
    torch.manual_seed(0)
    for stride, replaced in ((1, True), (2, False)):
        layer = nn.Conv2d(64, 16, 2, stride=stride)
        options = FactorizeOptions(convolutions=convolutions, rank="ratio", ratio=0.35)
        found = decomposed(layer, options)
        assert isinstance(found, Decomposed) is replaced, (stride, found)
    assert isinstance(found, str) and "too little" in found


def test_a_layer_that_is_used_again_stays() -> None:
    """A chain in one place would leave the weight where it is in the other."""
    torch.manual_seed(0)
    shared, tied = nn.Linear(64, 64), nn.Linear(64, 64)
    tied_too = nn.Linear(64, 64)
    tied_too.weight = tied.weight
    alone = nn.Linear(64, 64)
    module = nn.Sequential(
        nn.Linear(8, 64), shared, nn.ReLU(), shared, tied, tied_too, alone, nn.Linear(64, 4)
    )
    work = ModelJob(module.eval(), Workload("net", module, (torch.zeros(1, 8),)))
    changed = Factorize().apply(work, FactorizeOptions(rank="ratio"))
    assert changed.notes[0] == "1 layer decomposed (6 at rank 16), not fine-tuned"
    assert changed.notes[1].count("its weights are used elsewhere too") == 3
    with pytest.raises(CompressionError, match="used elsewhere"):
        Factorize().apply(work, FactorizeOptions(rank="ratio", layers=("1",)))


def test_what_a_format_lacks_is_left_before_it_is_computed() -> None:
    module = nn.Sequential(nn.Conv3d(3, 32, 3), nn.Conv3d(32, 32, 3), nn.Conv3d(32, 4, 3)).eval()
    work = ModelJob(module, Workload("net", module, (torch.zeros(1, 3, 9, 9, 9),)), format="tflite")
    with pytest.raises(CompressionError, match="TFLite has no convolution of single channels"):
        Factorize().apply(work, FactorizeOptions(convolutions="cp", rank="ratio"))


class Standardised(nn.Linear):
    """Computes with other weights than it holds."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight = (self.weight - self.weight.mean(1, keepdim=True)) / self.weight.std(1, keepdim=True)
        return nn.functional.linear(input, weight, self.bias)


def doubled(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return 2 * given[0]


def own(kind: str) -> nn.Module:
    """A layer of low rank that does not compute with its weight alone."""
    layer = Standardised(64, 64) if kind == "class" else nn.Linear(64, 64)
    layer.weight.data = low_rank(64, 64, 4)
    match kind:
        case "hook":
            layer.register_forward_pre_hook(doubled)
        case "parametrized":
            nn.utils.parametrizations.weight_norm(layer)
        case "replaced method":
            layer.forward = Standardised.forward.__get__(layer)  # type: ignore[method-assign]
    return layer


@pytest.mark.parametrize("kind", ["class", "hook", "parametrized", "replaced method"])
def test_a_layer_that_computes_in_its_own_way_stays(kind: str) -> None:
    module = nn.Sequential(nn.Linear(8, 64), own(kind), *net()[1:]).eval()  # type: ignore[index]
    changed = Factorize().apply(job(module), FactorizeOptions())
    said, left = changed.notes
    assert said == "1 layer decomposed (3 at rank 8), not fine-tuned"
    assert left == "left as they were: 1 (own forward)"
    with pytest.raises(CompressionError, match=r"changed nothing: 1 \(own forward\)$"):
        Factorize().apply(job(module), FactorizeOptions(layers=("1",)))


def test_a_derived_layer_without_a_way_of_its_own_is_decomposed() -> None:
    class Named(nn.Linear):
        """Nothing but another name."""

    module = net()
    layer = Named(64, 64)
    layer.weight.data = low_rank(64, 64, 4)
    module[2] = layer  # type: ignore[operator]
    assert Factorize().apply(job(module), FactorizeOptions()).notes[0].startswith("1 layer decomposed (2 ")


class Reading(nn.Module):
    """Calls one of its layers, and reads the weights of the others, in its own code and in torch's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, 64)
        self.called, self.read = nn.Linear(64, 64), nn.Linear(64, 64)
        self.attend = nn.MultiheadAttention(64, 4, batch_first=True)
        self.block = nn.TransformerEncoderLayer(64, 4, 64, batch_first=True)
        self.last = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.linear(self.called(self.first(x)), self.read.weight)[:, None]
        scores: torch.Tensor = self.last(self.block(self.attend(x, x, x)[0])[:, 0])
        return scores


def test_a_layer_whose_weight_the_model_reads_stays() -> None:
    module = Reading().eval()
    changed = Factorize().apply(job(module), FactorizeOptions(rank="ratio"))
    assert changed.notes == (
        "1 layer decomposed (called at rank 16), not fine-tuned",
        "left as they were: attend.out_proj (the model reads its weight itself), "
        "block.linear1 (the model reads its weight itself), block.linear2 (the model reads its weight itself)"
        " and 2 more",
    )
    with torch.no_grad():
        assert changed.module(torch.ones(1, 8)).shape == (1, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("rank", ["vbmf", "energy", "ratio"])
def test_weights_that_are_no_numbers_are_named(rank: Any, value: float) -> None:
    module = net()
    with torch.no_grad():
        module[2].weight[3, :2] = value  # type: ignore[index]
    with pytest.raises(CompressionError, match="2 of the 4096 weights of '2' are NaN or infinite"):
        Factorize().apply(job(module), FactorizeOptions(rank=rank))


def test_a_chain_computes_in_the_precision_of_its_layer() -> None:
    module = net().double()
    work = ModelJob(module, Workload("net", module, (torch.ones(1, 8, dtype=torch.float64),)))
    changed = Factorize().apply(work, FactorizeOptions())
    assert {parameter.dtype for parameter in changed.module.parameters()} == {torch.float64}
