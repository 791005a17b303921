"""Groups of channels and layers of real modules: what is said of a pruned one is what pruning it gives."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import nets
from torch import nn

from edgewright.compress import ModelJob
from edgewright.compress.channels import find_network
from edgewright.compress.importance import Measure
from edgewright.compress.prune import Prune, PruneOptions
from edgewright.errors import CompressionError
from edgewright.farm.to_latency import step_of
from edgewright.latency.layers import Network
from edgewright.recipe import Recipe, load_recipe
from edgewright.workload import Training, Workload


class Mixed(nn.Module):
    """A concatenation, a flattening, a depthwise and a grouped convolution, and a sum."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.left = nn.Conv2d(3, 16, 3, padding=1)
        self.right = nn.Conv2d(3, 24, 3, padding=1)
        self.deep = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.joined = nn.Conv2d(40, 32, 1)
        self.blocks = nn.Conv2d(32, 32, 3, padding=1, groups=4)
        self.pool = nn.MaxPool2d(4)
        self.first = nn.Linear(32 * 16, 48)
        self.last = nn.Linear(48, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.deep(self.left(image).relu()), self.right(image).relu()], 1)
        x = self.joined(x.relu()).relu()
        x = self.pool(self.blocks(x).relu()).flatten(1)
        scores: torch.Tensor = self.last(self.first(x).relu())
        return scores


class Chain(nn.Module):
    """Convolutions with normalisation, a stride, and a linear layer behind a flattening."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU()),
            *(nn.Conv2d(24, 40, 3, stride=2, padding=1), nn.BatchNorm2d(40), nn.ReLU()),
            *(nn.Conv2d(40, 16, (1, 3)), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(16 * 8 * 6, 32), nn.ReLU(), nn.Linear(32, 5)),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(image)
        return scores


def work(module: nn.Module, training: Training | None = None) -> ModelJob:
    return ModelJob(module, Workload("net", module, (nets.image(),), training=training))


def network(module: nn.Module, measure: Measure = "l2", round_to: int = 8) -> Network:
    return find_network(work(copy.deepcopy(module)), measure, round_to)


def called(module: nn.Module) -> list[tuple[str, int, int]]:
    """Every layer's channels as the module has them."""
    return [
        (
            name,
            *(
                (m.in_features, m.out_features)
                if isinstance(m, nn.Linear)
                else (m.in_channels, m.out_channels)
            ),
        )
        for name, m in module.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
    ]


@pytest.mark.parametrize("module", [nets.Residual(32), Mixed(), Chain()], ids=["residual", "mixed", "chain"])
@pytest.mark.parametrize("measure", ["l2", "taylor"])
def test_pruning_leaves_the_channels_that_were_foretold(module: nn.Module, measure: Measure) -> None:
    training = nets.training(tuple(nets.image().shape[1:]), 5)
    found = find_network(work(copy.deepcopy(module), training), measure, 8)
    for number in range(3):
        counts = {
            group.name: group.choices[(number + at) % len(group.choices)]
            for at, group in enumerate(found.groups)
        }
        (step,) = step_of(found, counts, PruneOptions(importance=measure, fine_tune=False))
        pruned = Prune().apply(work(copy.deepcopy(module), training), step.options).module
        foretold = {
            layer.name: (shape.inputs, shape.outputs)
            for layer in found.layers
            for shape in [layer.shaped(counts)]
        }
        assert {name: sizes for name, *sizes in called(pruned)} == {
            name: list(v) for name, v in foretold.items()
        }


def test_the_layers_have_their_real_sizes() -> None:
    shapes = {layer.name: str(layer.shape) for layer in network(Chain()).layers}
    assert shapes == {
        "layers.0": "conv 3x3 3->24 on (1, 16, 16)",
        "layers.3": "conv 3x3 24->40 on (1, 16, 16)",
        "layers.6": "conv 1x3 40->16 on (1, 8, 8)",
        "layers.9": "linear 768->32 on (1,)",
        "layers.11": "linear 32->5 on (1,)",
    }


def test_what_stays_is_said_with_its_reason() -> None:
    found = network(Mixed())
    reasons = dict(found.kept)
    assert reasons["last"] == "the model's outputs are its channels"
    assert "takes its channels in blocks" in " ".join(reasons.values())
    assert [group.name for group in found.groups] == ["right", "deep", "first"]


def test_a_group_without_channels_to_spare_stays() -> None:
    found = network(Chain(), round_to=24)
    assert dict(found.kept)["layers.0"] == "it has 24 channels, which go by 24"
    assert [group.name for group in found.groups] == ["layers.3", "layers.9"]


def test_importance_is_in_order_and_compared_across_groups() -> None:
    training = nets.training(tuple(nets.image().shape[1:]), 5)
    module = Chain()
    with torch.no_grad():
        module.layers[9].weight *= 0  # type: ignore[assignment,operator]
        module.layers[9].bias += 1.0  # type: ignore[assignment,operator]
    found = find_network(work(module, training), "taylor", 8)
    worth = {group.name: sum(group.importance) for group in found.groups}
    assert all(list(group.importance) == sorted(group.importance) for group in found.groups)
    assert worth["layers.6"] == 0.0 < worth["layers.9"]  # what goes in there is multiplied by nothing


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        (nets.Dense(8), {"round_to": 8}, "no layer has channels to spare at multiples of 8"),
        (Chain(), {"measure": "taylor"}, "importance 'taylor' needs the workload's training"),
    ],
)
def test_what_cannot_be_had_is_said(module: nn.Module, options: dict[str, Any], words: str) -> None:
    example = nets.features() if isinstance(module, nets.Dense) else nets.image()
    job = ModelJob(module, Workload("net", module, (example,)))
    with pytest.raises(CompressionError, match=words):
        find_network(job, options.get("measure", "l2"), options.get("round_to", 8))


def test_the_recipe_is_read_back_as_it_was(tmp_path: Path) -> None:
    found = network(nets.Residual(32))
    counts = {group.name: group.choices[1] for group in found.groups}
    recipe = Recipe("small", "pruned", step_of(found, counts, PruneOptions(importance="l1")))
    (tmp_path / "small.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "small.toml") == recipe
    assert step_of(found, found.full, PruneOptions()) == ()


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_named_layers_are_left_with_their_share_after_all_rounds(rounds: int) -> None:
    options = PruneOptions(layers=(("layers.3", 0.6),), rounds=rounds, round_to=8)
    pruned = Prune().apply(work(Chain()), options).module
    assert pruned.layers[3].out_channels == 16  # type: ignore[index, union-attr]


class Heads(nn.Module):
    """Attention whose code knows how wide it is, before a layer that may be of any width."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.query, self.key, self.value = (nn.Linear(16, 32) for _ in range(3))
        self.mix, self.wide, self.classify = nn.Linear(32, 16), nn.Linear(16, 64), nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (x.shape[0], x.shape[1], 4, 8)
        query, key, value = (
            part(x).reshape(shape).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        seen = (query @ key.transpose(2, 3)).softmax(3) @ value
        scores: torch.Tensor = self.classify(torch.relu(self.wide(self.mix(seen.transpose(1, 2).flatten(2)))))
        return scores


def test_what_the_model_fails_without_is_no_group() -> None:
    example = torch.randn(1, 6, 16)
    job = ModelJob(Heads().eval(), Workload("heads", Heads(), (example,)))
    found = find_network(job, "l2", 8)
    assert "wide" in [group.name for group in found.groups]
    fragile = [name for name, reason in found.kept if reason == "the model fails without a part of them"]
    assert "value" in fragile
    least = {group.name: group.choices[0] for group in found.groups}
    (step,) = step_of(found, least, PruneOptions(importance="l2", fine_tune=False))
    pruned = Prune().apply(replace(job, module=copy.deepcopy(job.module)), step.options).module
    assert pruned(example).shape == (1, 6, 5)
    assert pruned.wide.out_features == 8  # type: ignore[union-attr]


def test_a_model_of_which_nothing_can_be_pruned_says_why() -> None:
    job = ModelJob(nets.Lstm().eval(), Workload("lstm", nets.Lstm(), (torch.zeros(1, 5, 6),)))
    with pytest.raises(
        CompressionError, match=r"multiples of 1 \(classify: the model's outputs are its channels\)$"
    ):
        find_network(job, "l2", 1)
