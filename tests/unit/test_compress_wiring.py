"""Pruning takes from each layer the inputs that are gone, whatever the model's code does in between."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests import nets
from torch import nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from edgewright.boundary import quiet
from edgewright.compress import ModelJob
from edgewright.compress.channels import find_network
from edgewright.compress.prune import Prune, PruneOptions
from edgewright.compress.wiring import whole_layers
from edgewright.errors import CompressionError
from edgewright.workload import Workload


class Between(nn.Module):
    """A convolution, some code, a layer, and a classifier that can always be pruned in front of."""

    def __init__(self, code: Callable[[torch.Tensor], torch.Tensor], layer: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.code, self.layer = nn.Conv2d(3, 32, 3, padding=1), code, layer
        self.wide, self.classify = nn.Linear(16, 32), nn.Linear(32, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.layer(self.code(self.first(image).relu()))
        x = x[0].mean(1) if isinstance(x, tuple) else x.mean((2, 3)) if x.dim() == 4 else x
        scores: torch.Tensor = self.classify(self.wide(x.relu()).relu())
        return scores


def conv(inputs: int = 32) -> nn.Module:
    return nn.Conv2d(inputs, 16, 3, padding=1)


def shuffled(x: torch.Tensor) -> torch.Tensor:
    n, channels, height, width = x.shape
    return x.view(n, 4, channels // 4, height, width).transpose(1, 2).reshape(n, -1, height, width)


def halves(x: torch.Tensor) -> torch.Tensor:
    """Two functions of the halves, which a channel may go from one to the other of when others go."""
    return torch.stack(x.chunk(2, 1), 0).mul(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1)).sum(0)


REORDERED: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[], nn.Module]]] = {
    "channels last": (lambda x: x.permute(0, 2, 3, 1).flatten(1), lambda: nn.Linear(32 * 256, 16)),
    "rows and columns": (lambda x: x.permute(0, 3, 2, 1).flatten(1), lambda: nn.Linear(32 * 256, 16)),
    "one axis": (lambda x: x.mean(3).transpose(1, 2).flatten(1), lambda: nn.Linear(32 * 16, 16)),
    "rows of channels": (
        lambda x: x.permute(0, 3, 2, 1).flatten(2),
        lambda: nn.LSTM(32 * 16, 16, batch_first=True),
    ),
    "module": (nn.ChannelShuffle(4), conv),
    "view": (shuffled, conv),
    "flip": (lambda x: x.flip(1), conv),
    "in pairs": (lambda x: torch.stack([x, -x], 2).flatten(1, 2).roll(1, 1), lambda: conv(64)),
    "halves": (halves, lambda: conv(16)),
}


def job(module: nn.Module, example: torch.Tensor) -> ModelJob:
    return ModelJob(copy.deepcopy(module).eval(), Workload("net", module, (example,)))


@pytest.mark.parametrize("name", REORDERED)
@pytest.mark.parametrize("example", [nets.image(), torch.zeros(1, 3, 16, 16)], ids=["image", "zeros"])
def test_channels_that_code_reorders_stay(name: str, example: torch.Tensor) -> None:
    code, layer = REORDERED[name]
    module = Between(code, layer())
    changed = Prune().apply(job(module, example), PruneOptions(amount=0.9))
    pruned: Any = changed.module
    assert torch.equal(pruned.first.weight, module.first.weight)
    assert pruned.wide.out_features < 32
    assert "left whole, since the model's code reorders or mixes them: first" in changed.notes


def test_they_stay_where_layers_are_named_and_where_a_latency_is_asked_for() -> None:
    module = Between(shuffled, conv())
    with pytest.raises(
        CompressionError, match=r"channels of first have to stay, .* reorders .*\(leave it out"
    ):
        Prune().apply(job(module, nets.image()), PruneOptions(layers=(("first", 0.5),), round_to=1))
    found = find_network(job(module, nets.image()), "l2", 8)
    assert dict(found.kept)["first"] == "the model's code reorders or mixes them"
    assert "first" not in {group.name for group in found.groups}


class Gated(nn.Module):
    """Squeeze and excitation, whose gate is as wide as what it opens, and a scale for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.less, self.more, self.scale = (
            nn.Linear(32, 8),
            nn.Linear(8, 32),
            nn.Parameter(torch.zeros(32, 1, 1)),
        )
        self.next = conv()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.next(
            x * self.more(self.less(x.mean((2, 3))).relu()).sigmoid()[..., None, None] * self.scale
        )
        return out


class OwnNorm(nn.Module):
    """A normalisation over channels that the model computes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.next = nn.Parameter(torch.ones(32)), conv()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        out: torch.Tensor = self.next(x * self.scale[:, None, None])
        return out


class Attends(nn.Module):
    """Attention of one head, in which the queries and keys are summed over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(32, 24), nn.Linear(32, 24), nn.Linear(32, 24)
        self.out = nn.Linear(24, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2).transpose(1, 2)
        asked = (self.query(x) @ self.key(x).transpose(1, 2) / 5).softmax(-1)
        out: torch.Tensor = self.out(asked @ self.value(x)).mean(1)
        return out


class Branches(nn.Module):
    """Several branches over the same channels, put side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(32, 16, 1), nn.ConvTranspose2d(32, 24, 3, padding=1)
        self.next = conv(16 + 24 + 32 + 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = F.max_pool2d(x, 3, 1, 1)
        out: torch.Tensor = self.next(torch.cat([self.right(x), -pooled, self.left(x).relu(), x], 1))
        return out


EXACT: dict[str, Callable[[], nn.Module]] = {
    "straight on": conv,
    "flattened": lambda: nn.Sequential(nn.BatchNorm2d(32), nn.Flatten(), nn.Linear(32 * 256, 16)),
    "normalised": lambda: nn.Sequential(nn.GroupNorm(4, 32), conv()),
    "grouped": lambda: nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, groups=4), nn.PReLU(32), conv()),
    "depthwise": lambda: nn.Sequential(
        nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.InstanceNorm2d(32), conv()
    ),
    "gated": Gated,
    "own normalisation": OwnNorm,
    "attention": Attends,
    "branches": Branches,
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("round_to", [1, 8])
def test_channels_that_stay_in_order_go(name: str, round_to: int) -> None:
    module = Between(nn.Identity(), EXACT[name]()).eval()
    with quiet():
        assert whole_layers(module, (nets.image(),), round_to) == ()


def test_recurrent_layers_get_what_is_left() -> None:
    """Columns of channels, one below the other, are in the order that is foreseen."""
    module = Between(lambda x: x.permute(0, 3, 1, 2).flatten(2), nn.LSTM(32 * 16, 16, batch_first=True))
    changed = Prune().apply(
        job(module, nets.image()), PruneOptions(layers=(("first", 0.5),), fine_tune=False)
    )
    pruned: Any = changed.module
    assert (pruned.first.out_channels, pruned.layer.input_size) == (16, 16 * 16)


class Inner(nn.Module):
    """Returns what its classifier looks at beside the scores."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3)
        self.classify = nn.Linear(32, 5)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        inner = self.second(self.first(image).relu()).relu().mean((2, 3))
        return {"scores": self.classify(inner), "inner": inner}


def test_an_output_beside_the_last_one_stays() -> None:
    changed = Prune().apply(job(Inner(), nets.image()), PruneOptions())
    pruned: Any = changed.module
    assert pruned(nets.image())["inner"].shape == (1, 32)
    assert pruned.first.out_channels < 32
    assert not any(note.startswith("left whole") for note in changed.notes)
    with pytest.raises(
        CompressionError, match="channels of second have to stay, since they are the model's out"
    ):
        Prune().apply(job(Inner(), nets.image()), PruneOptions(layers=(("second", 0.5),)))
    found = find_network(job(Inner(), nets.image()), "l2", 8)
    assert dict(found.kept)["second"] == "they are the model's outputs"


def several_of_each() -> nn.Module:
    return nn.Sequential(nn.Conv2d(32, 64, 3, padding=1, groups=32), nn.ReLU(), conv(64))


def test_a_depthwise_convolution_that_makes_several_channels_of_each_keeps_them_all() -> None:
    module = Between(nn.Identity(), several_of_each())
    changed = Prune().apply(job(module, nets.image()), PruneOptions(amount=0.5))
    pruned: Any = changed.module
    assert pruned.first.out_channels == 32
    assert pruned.wide.out_features < 32
    assert "left whole, since the model fails without a part of them: first" in changed.notes[1]


def test_a_layer_that_is_named_is_pruned_beside_one_that_cannot_be() -> None:
    module = Between(nn.Identity(), several_of_each())
    changed = Prune().apply(job(module, nets.image()), PruneOptions(layers=(("wide", 0.5),)))
    assert changed.module.wide.out_features == 16  # type: ignore[union-attr]
    assert len(changed.notes) == 1


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("normed", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
def test_parametrized_weights_are_the_reason_that_is_given(normed: Callable[[nn.Module], nn.Module]) -> None:
    module = Between(nn.Identity(), normed(conv()))
    changed = Prune().apply(
        ModelJob(module, Workload("net", module, (nets.image(),))), PruneOptions(amount=0.5)
    )
    assert "left whole, since weights are parametrized there: layer, first" in changed.notes
