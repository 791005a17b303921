from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import nets
from torch import nn

from edgewright.compress import ModelJob
from edgewright.compress.channels import find_network
from edgewright.compress.prune import Prune, PruneOptions
from edgewright.errors import CompressionError, ConfigError
from edgewright.workload import Workload


def job(module: nn.Module, example: torch.Tensor, **more: object) -> ModelJob:
    return ModelJob(module, Workload("net", module, (example,), **more))  # type: ignore[arg-type]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_half_of_the_parameters_go_and_the_outputs_stay() -> None:
    module = nets.Residual(64).eval()
    changed = Prune().apply(job(copy.deepcopy(module), nets.image()), PruneOptions(amount=0.5))
    assert 0.4 < 1 - count(changed.module) / count(module) < 0.6
    assert changed.module(nets.image()).shape == (1, 5)
    share = (1 - count(changed.module) / count(module)) * 100
    assert changed.notes == (f"pruned {share:.1f} % of parameters, not fine-tuned: workload has no training",)


def test_channels_are_multiples_of_what_was_asked() -> None:
    module = nets.Residual(64)
    pruned = Prune().apply(job(module.eval(), nets.image()), PruneOptions(round_to=16)).module
    counts = [m.out_channels for m in pruned.modules() if isinstance(m, nn.Conv2d)]
    assert all(number % 16 == 0 for number in counts)


def test_the_least_important_channels_go_first() -> None:
    module = nets.Dense(16).eval()
    first = module.layers[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight[::2] *= 1e-3
        first.bias[:] = 0
    kept = first.weight[1::2].clone()
    pruned = Prune().apply(job(module, nets.features()), PruneOptions(amount=0.5, round_to=1))
    left = pruned.module.layers[0].weight  # type: ignore[index, union-attr]
    assert torch.equal(left, kept)


def test_it_is_fine_tuned_when_the_workload_can_train() -> None:
    trained: list[nn.Module] = []
    module = nets.Residual(32).eval()
    changed = Prune().apply(job(module, nets.image(), train=trained.append), PruneOptions())
    assert trained == [changed.module]
    assert changed.notes[0].endswith("fine-tuned: trained by the workload")


def test_the_recipe_may_forbid_fine_tuning() -> None:
    module = nets.Residual(32).eval()
    options = PruneOptions(fine_tune=False)
    changed = Prune().apply(job(module, nets.image(), train=pytest.fail), options)
    assert "not fine-tuned: the recipe says so" in changed.notes[0]


def test_nothing_to_prune_is_an_error() -> None:
    module = nets.Dense(8).eval()
    with pytest.raises(CompressionError, match="prune removed nothing: no layer has channels to spare"):
        Prune().apply(job(module, nets.features()), PruneOptions(round_to=8))


def test_a_module_without_parameters_is_an_error() -> None:
    module = nets.NoWeights()
    with pytest.raises(CompressionError, match="prune"):
        Prune().apply(job(module, nets.features()), PruneOptions())


def test_pruning_twice_gives_the_same() -> None:
    module = nets.Residual(32).eval()
    one, two = (
        Prune().apply(job(copy.deepcopy(module), nets.image()), PruneOptions()).module for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


class Normed(nn.Module):
    """Convolutions with batch normalisation, for measures that look at its scales and at the loss."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5)),
        )
        for layer in self.layers:
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(image)
        return scores


TRAINING = nets.training(tuple(nets.image().shape[1:]), 5)
MEASURES = ["l1", "l2", "bn-scale", "taylor", "hessian", "random"]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("scope", ["local", "global"])
def test_every_measure_removes_what_was_asked_for(measure: str, scope: str) -> None:
    module = Normed().eval()
    options = PruneOptions(importance=measure, scope=scope, round_to=4, fine_tune=False)  # type: ignore[arg-type]
    changed = Prune().apply(job(copy.deepcopy(module), nets.image(), training=TRAINING), options)
    assert 0.35 < 1 - count(changed.module) / count(module) < 0.65
    assert changed.module(nets.image()).shape == (1, 5)


@pytest.mark.parametrize("measure", ["bn-scale", "taylor", "hessian"])
def test_what_does_not_matter_to_the_data_goes_first(measure: str) -> None:
    """Channels that normalisation switches off have large weights, and only these measures see that."""
    module = Normed().eval()
    off, norm = torch.arange(0, 32, 2), module.layers[1]
    with torch.no_grad():
        norm.weight[off] = 0.0  # type: ignore[operator]
        norm.bias[off] = 0.0  # type: ignore[operator]
        kept = module.layers[0].weight[1::2].clone()  # type: ignore[index]
    options = PruneOptions(
        importance=measure,  # type: ignore[arg-type]
        layers=(("layers.0", 0.5),),
        round_to=1,
        fine_tune=False,
    )
    changed = Prune().apply(job(module, nets.image(), training=TRAINING), options)
    assert torch.equal(changed.module.layers[0].weight, kept)  # type: ignore[index, union-attr]


class Recurrent(nn.Module):
    """A recurrent network of which only one small layer can be pruned."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recurrent = nn.GRU(6, 64, batch_first=True)
        self.inner, self.classify = nn.Linear(64, 80), nn.Linear(80, 5)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(series)
        scores: torch.Tensor = self.classify(torch.relu(self.inner(states.mean(1))))
        return scores


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize(("rounds", "max_share", "left"), [(1, 0.8, 16), (1, 0.5, 40), (3, 0.8, 16)])
def test_the_only_layer_that_can_be_pruned_is_not_emptied_for_the_rest(
    scope: Any, rounds: int, max_share: float, left: int
) -> None:
    options = PruneOptions(amount=0.6, scope=scope, rounds=rounds, max_share=max_share)
    changed = Prune().apply(job(Recurrent().eval(), torch.zeros(1, 4, 6)), options)
    assert changed.module.inner.out_features == left  # type: ignore[union-attr]
    short = f"60 % were asked for and channels go by 8, no more than {100 * max_share:.0f} % of a layer's"
    assert short in changed.notes[0]


@pytest.mark.parametrize(("max_share", "left"), [(0.8, 7), (0.95, 2)])
def test_a_ranking_of_the_whole_model_does_not_empty_a_layer(max_share: float, left: int) -> None:
    """All but two channels of the first layer count for nearly nothing."""
    module = Normed().eval()
    with torch.no_grad():
        module.layers[1].weight[2:] *= 1e-4  # type: ignore[index, operator]
    options = PruneOptions(0.9, "bn-scale", "global", max_share, round_to=1)
    pruned = Prune().apply(job(module, nets.image()), options).module
    assert pruned.layers[0].out_channels == left  # type: ignore[index, union-attr]


@pytest.mark.parametrize("scope", ["local", "global"])
def test_blocks_of_channels_lose_as_many_each_and_keep_some(scope: Any) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3, groups=4), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)),
    ).eval()
    pruned = Prune().apply(job(module, nets.image()), PruneOptions(0.9, scope=scope, round_to=1)).module
    first, blocks = (m for m in pruned.modules() if isinstance(m, nn.Conv2d))
    assert (blocks.out_channels, blocks.groups) == (8, 4)
    assert 8 <= first.out_channels < 32
    assert first.out_channels % 4 == 0
    assert pruned(nets.image()).shape == (1, 5)


def test_rounds_end_at_the_same_size_and_train_in_between() -> None:
    told: list[str] = []
    module = Normed().eval()
    work = replace(job(copy.deepcopy(module), nets.image(), training=TRAINING), tell=told.append)
    changed = Prune().apply(work, PruneOptions(rounds=2, round_to=2))
    assert 0.4 < 1 - count(changed.module) / count(module) < 0.6
    assert {said.split(":")[0] for said in told} == {
        "fine-tuning, round 1 of 2",
        "fine-tuning, round 2 of 2",
    }
    assert changed.notes[0].endswith("fine-tuned in 2 rounds of 1 epoch")


def test_sparsity_training_shrinks_the_scales() -> None:
    """The dearer the scales, the smaller they are after as many epochs."""

    def scales(price: float) -> float:
        options = PruneOptions(sparsity_epochs=3, sparsity=price, importance="bn-scale", fine_tune=False)
        changed = Prune().apply(job(Normed().eval(), nets.image(), training=TRAINING), options)
        assert changed.notes[0] == "3 epochs of sparsity training"
        norms = [m for m in changed.module.modules() if isinstance(m, nn.BatchNorm2d)]
        return float(torch.cat([norm.weight.detach() for norm in norms]).abs().mean())

    assert scales(0.5) < scales(1e-9) - 0.003


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"importance": "bn-scale"}, "needs batch normalisation"),
        ({"importance": "taylor"}, "importance 'taylor' needs the workload's training"),
        ({"sparsity_epochs": 1}, "sparsity_epochs needs batch normalisation"),
        ({"layers": (("layers.9", 0.5),)}, "no layer is called 'layers.9'"),
    ],
)
def test_what_cannot_be_had_is_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CompressionError, match=words):
        Prune().apply(job(nets.Dense().eval(), nets.features()), PruneOptions(**options))


class Chunked(nn.Module):
    """Cuts its channels in two by itself, as ShuffleNetV2 does, and convolves a half in blocks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.grouped = nn.Conv2d(3, 24, 3, padding=1), nn.Conv2d(12, 12, 1, groups=3)
        self.wide, self.classify = nn.Conv2d(24, 32, 1), nn.Linear(32, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        left, right = self.stem(image).chunk(2, 1)
        both = torch.cat([left, torch.relu(self.grouped(right))], 1)
        scores: torch.Tensor = self.classify(torch.relu(self.wide(both)).mean((2, 3)))
        return scores


@pytest.mark.parametrize("scope", ["local", "global"])
def test_what_the_model_fails_without_is_left_whole(scope: Any) -> None:
    options = PruneOptions(amount=0.3, scope=scope, round_to=1, fine_tune=False)
    changed = Prune().apply(job(Chunked().eval(), nets.image()), options)
    assert changed.module(nets.image()).shape == (1, 5)
    assert changed.module.grouped.out_channels == 12  # type: ignore[union-attr]
    assert changed.module.wide.out_channels < 32  # type: ignore[union-attr, operator]
    (left,) = (note for note in changed.notes if note.startswith("left whole"))
    assert "stem" in left or "grouped" in left
    with pytest.raises(CompressionError, match="have to stay, since the model fails without a part"):
        named = left.rpartition(": ")[2].split(", ")[0]
        asked = PruneOptions(layers=((named, 0.4),), round_to=1)
        Prune().apply(job(Chunked().eval(), nets.image()), asked)


def test_recurrent_layers_that_cannot_be_pruned_are_named() -> None:
    with pytest.raises(CompressionError, match="channels of recurrent stay, since the model fails without"):
        Prune().apply(job(nets.Lstm().eval(), torch.zeros(1, 5, 6)), PruneOptions(round_to=4))


def test_the_outputs_are_no_channels_to_prune() -> None:
    options = PruneOptions(layers=(("layers.2", 0.5),), round_to=1)
    with pytest.raises(
        CompressionError,
        match=r"the channels of layers.2 have to stay, since they are the model's outputs \(leave it",
    ):
        Prune().apply(job(nets.Dense().eval(), nets.features()), options)


def half_frozen() -> nn.Module:
    module = Normed().eval()
    for layer in list(module.layers)[:3]:
        layer.requires_grad_(False)
    return module


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("layers", [(), (("layers.0", 0.5), ("layers.3", 0.5))])
def test_what_is_frozen_stays_frozen(measure: Any, layers: Any) -> None:
    module = half_frozen()
    trained = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    options = PruneOptions(0.3, measure, layers=layers, round_to=4, rounds=1 if layers else 2)
    work = job(copy.deepcopy(module), nets.image(), training=TRAINING)
    tuned: Any = Prune().apply(work, options).module
    assert {name: parameter.requires_grad for name, parameter in tuned.named_parameters()} == trained
    assert tuned.layers[0].out_channels < 32
    if options.rounds == 1:
        work = job(copy.deepcopy(module), nets.image(), training=TRAINING)
        plain: Any = Prune().apply(work, replace(options, fine_tune=False)).module
        assert torch.equal(tuned.layers[0].weight, plain.layers[0].weight)
        assert not torch.equal(tuned.layers[3].weight, plain.layers[3].weight)


def test_looking_for_groups_leaves_parameters_as_they_are() -> None:
    module = half_frozen()
    trained = [parameter.requires_grad for parameter in module.parameters()]
    find_network(job(module, nets.image()), "l2", 8)
    assert [parameter.requires_grad for parameter in module.parameters()] == trained


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5, -0.5, math.nan, math.inf])
def test_shares_that_are_none_are_refused_before_anything_runs(share: float) -> None:
    with pytest.raises(ConfigError, match=rf"prune: the share of b is {share} \(between 0 and 1\)"):
        PruneOptions(layers=(("a", 0.5), ("b", share)))


def test_a_layer_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"prune: layers name b 2 times \(once\)"):
        PruneOptions(layers=(("b", 0.75), ("a", 0.5), ("b", 0.25)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_named(value: float) -> None:
    module = Normed().eval()
    with torch.no_grad():
        module.layers[3].weight[5, 3] = value  # type: ignore[operator]
    said = r"^prune: 9 of the 18432 weights of 'layers\.3\.weight' are NaN or infinite \(train"
    for options in (PruneOptions(), PruneOptions(layers=(("layers.0", 0.5),))):
        with pytest.raises(CompressionError, match=said):
            Prune().apply(job(copy.deepcopy(module), nets.image()), options)
    with pytest.raises(CompressionError, match=said):
        find_network(job(module, nets.image()), "l2", 8)


def test_one_epoch_is_said_as_one() -> None:
    options = PruneOptions(sparsity_epochs=1, fine_tune=False)
    changed = Prune().apply(job(Normed().eval(), nets.image(), training=TRAINING), options)
    assert changed.notes[0] == "1 epoch of sparsity training"


class Heads(nn.Module):
    """Attention between two linear layers, added to what it looks at."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.attention = nn.Linear(6, 96), nn.MultiheadAttention(96, 3, batch_first=True)
        self.classify = nn.Linear(96, 5)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        x = self.first(series)
        scores: torch.Tensor = self.classify((x + self.attention(x, x, x)[0]).mean(1))
        return scores


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("layers", [(), (("first", 0.5),), (("first", 0.3),)])
@pytest.mark.parametrize("round_to", [1, 8])
def test_every_head_keeps_its_own_channels(scope: Any, layers: Any, round_to: int) -> None:
    module = Heads().eval()
    options = PruneOptions(0.5, scope=scope, layers=layers, round_to=round_to)
    pruned: Any = Prune().apply(job(copy.deepcopy(module), torch.zeros(1, 4, 6)), options).module
    whole: Any = module
    kept = [int((whole.first.weight == row).all(1).nonzero()) for row in pruned.first.weight]
    heads = [index // 32 for index in kept]
    assert 0 < heads.count(0) == heads.count(1) == heads.count(2) < 32
    assert len(kept) % round_to == 0


def test_channels_of_heads_are_chosen_by_what_heads_can_spare() -> None:
    found = find_network(job(Heads().eval(), torch.zeros(1, 4, 6)), "l2", 8)
    (group,) = found.groups
    assert group.choices == (24, 48, 72, 96)
    for count in group.choices[:-1]:
        options = PruneOptions(layers=((group.name, round(1 - count / 96, 6)),))
        pruned: Any = Prune().apply(job(Heads().eval(), torch.zeros(1, 4, 6)), options).module
        assert pruned.first.out_features == count
