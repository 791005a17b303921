"""Networks, layers by their channels, and the shapes that a table is made of."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from edgewright.latency.layers import Channels, Group, Layer, LayerShape, Network, choices


def test_choices_are_multiples_and_all() -> None:
    assert choices(32, 8) == (8, 16, 24, 32)
    assert choices(30, 8) == (8, 16, 24, 30)
    assert choices(8, 8) == (8,)
    assert choices(6, 8) == (6,)


def test_many_choices_are_thinned_and_keep_both_ends() -> None:
    thinned = choices(512, 8)
    assert len(thinned) == 16 and thinned[0] == 8 and thinned[-1] == 512
    assert all(count % 8 == 0 for count in thinned) and list(thinned) == sorted(set(thinned))


def test_what_is_lost_is_the_least_important() -> None:
    group = Group("g", (1.0, 2.0, 4.0, 8.0), (2, 4))
    assert [group.lost(kept) for kept in (4, 3, 2, 0)] == [0.0, 1.0, 3.0, 15.0]


def test_channels_behind_a_flattening_and_a_concatenation() -> None:
    behind = Channels(5, (("a", 16), ("b", 1)))
    assert behind.count({"a": 2, "b": 7, "c": 100}) == 5 + 32 + 7


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.Conv2d(4, 6, (3, 5), padding=(0, 2), dilation=(2, 1)),
        nn.Conv2d(4, 6, 4, padding="same"),
        nn.Conv1d(4, 6, 5, stride=3),
        nn.Conv3d(4, 6, 3, padding=1),
    ],
)
def test_the_output_size_is_torch_s(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
    from edgewright.compress.channels import _Call, _shape

    axes = len(layer.kernel_size)
    size = (1, *(11, 9, 7)[:axes])
    with torch.no_grad():
        out = layer.eval()(torch.zeros(1, 4, *size[1:]))
    assert _shape(_Call(layer, (1, 4, *size[1:]))).output_size == tuple(out.shape[2:])


def test_a_depthwise_layer_keeps_a_group_a_channel() -> None:
    shape = LayerShape("conv", 16, 16, (1, 8, 8), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), groups=16)
    assert shape.is_depthwise and shape.with_channels(4, 4).groups == 4
    assert shape.family == shape.with_channels(4, 4).family


def test_the_grid_is_small_and_holds_the_ends() -> None:
    groups = tuple(Group(name, (1.0,) * 256, choices(256, 8)) for name in "abc")
    shape = LayerShape("conv", 512, 256, (1, 8, 8), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
    sides = Channels(0, (("a", 1), ("b", 1))), Channels(0, (("c", 1),))
    network = Network(groups, (Layer("one", shape, *sides),))
    grid = network.grid()
    assert len(grid) == 25
    assert {shape.with_channels(*pair) for pair in itertools.product((16, 512), (8, 256))} <= grid
