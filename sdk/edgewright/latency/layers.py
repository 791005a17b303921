"""A network as far as the time it takes goes: layers, and the groups of channels that are pruned together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

Operator = Literal["conv", "linear", "nothing"]

#: How many channel counts a group may be left with, at most; more are thinned out evenly.
MOST_CHOICES = 16
#: How many channel counts of a group are measured at first; a table reads between them.
MEASURED_CHOICES = 5

#: How many channels each group is left with.
Counts = Mapping[str, int]


@dataclass(frozen=True)
class LayerShape:
    """One layer as a runtime sees it: all that its time depends on. It is the key of a table.

    Attributes:
        inputs, outputs: channels of a convolution, features of a linear layer.
        size: of the input without its channels: ``(batch, *spatial)`` of a convolution, ``(rows,)`` of a
            linear layer.
        kernel, stride, dilation: one number a spatial axis, empty for a linear layer.
        pads: before each spatial axis, then after each.
        groups: of a convolution; as many as inputs when it is depthwise.
    """

    operator: Operator
    inputs: int
    outputs: int
    size: tuple[int, ...]
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    groups: int = 1

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is convolved alone."""
        return self.groups > 1 and self.groups == self.inputs == self.outputs

    @property
    def weights(self) -> int:
        """How many numbers the layer holds, its bias included."""
        return self.outputs * (self.inputs // max(1, self.groups) * math.prod(self.kernel) + 1)

    @property
    def family(self) -> LayerShape:
        """The same for any number of channels."""
        groups = 0 if self.is_depthwise else self.groups
        return replace(self, inputs=0, outputs=0, groups=groups)

    @property
    def output_size(self) -> tuple[int, ...]:
        """Of a convolution's output, along its spatial axes."""
        axes = len(self.kernel)
        reached = (step * (width - 1) + 1 for step, width in zip(self.dilation, self.kernel, strict=True))
        padded = (
            size + before + after
            for size, before, after in zip(self.size[1:], self.pads[:axes], self.pads[axes:], strict=True)
        )
        pairs = zip(padded, reached, self.stride, strict=True)
        return tuple((full - reach) // step + 1 for full, reach, step in pairs)

    def with_channels(self, inputs: int, outputs: int) -> LayerShape:
        """The same layer of other channels; a depthwise one has a group for each."""
        groups = inputs if self.is_depthwise else self.groups
        return replace(self, inputs=inputs, outputs=outputs, groups=groups)

    def __str__(self) -> str:
        kernel = "x".join(map(str, self.kernel))
        name = f"{'depthwise ' if self.is_depthwise else ''}{self.operator}"
        return f"{name}{f' {kernel}' if kernel else ''} {self.inputs}->{self.outputs} on {self.size}"


#: A model that does next to nothing: what calling a runtime costs.
NOTHING = LayerShape("nothing", 1, 1, (1,))


@dataclass(frozen=True)
class Channels:
    """The channels on one side of a layer: so many that stay, and multiples of those of some groups.

    A layer behind a flattening has a multiple of its group's channels, one behind a concatenation several
    groups.
    """

    fixed: int = 0
    parts: tuple[tuple[str, int], ...] = ()

    def count(self, counts: Counts) -> int:
        """How many there are when groups are left with ``counts``."""
        return self.fixed + sum(times * counts[group] for group, times in self.parts)


@dataclass(frozen=True)
class Layer:
    """A layer of the network by its name, and what its channels depend on. ``shape`` is the unpruned one."""

    name: str
    shape: LayerShape
    inputs: Channels
    outputs: Channels

    @property
    def groups(self) -> frozenset[str]:
        """The groups that its time depends on."""
        return frozenset(group for side in (self.inputs, self.outputs) for group, _ in side.parts)

    def shaped(self, counts: Counts) -> LayerShape:
        """The layer when groups are left with ``counts``."""
        return self.shape.with_channels(self.inputs.count(counts), self.outputs.count(counts))


@dataclass(frozen=True)
class Group:
    """Channels of several layers that can only go together, and what they are worth.

    Attributes:
        name: the layer by whose name a recipe prunes the group.
        importance: of each channel, the least important first, in a unit that all groups share.
        choices: the numbers of channels that it may be left with, ascending; the last is all of them.
    """

    name: str
    importance: tuple[float, ...]
    choices: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many channels there are."""
        return len(self.importance)

    @cached_property
    def _lost(self) -> tuple[float, ...]:
        return (0.0, *itertools.accumulate(self.importance))

    def lost(self, kept: int) -> float:
        """The importance of the channels that go when ``kept`` stay."""
        return self._lost[self.size - kept]

    def measured_choices(self) -> tuple[int, ...]:
        """Those of its choices whose times are taken first: both ends, and some between."""
        return _thinned(self.choices, MEASURED_CHOICES)


@dataclass(frozen=True)
class Network:
    """Groups, the layers whose time is known by their shapes, and what is neither.

    Attributes:
        kept: layers whose channels stay, with the reason.
        untimed: layers whose time is not looked up, with the reason. What they take is in the rest.
    """

    groups: tuple[Group, ...]
    layers: tuple[Layer, ...]
    kept: tuple[tuple[str, str], ...] = ()
    untimed: tuple[tuple[str, str], ...] = ()

    @property
    def full(self) -> dict[str, int]:
        """Every group as it is."""
        return {group.name: group.size for group in self.groups}

    @property
    def smallest(self) -> dict[str, int]:
        """Every group at its fewest."""
        return {group.name: group.choices[0] for group in self.groups}

    def shapes(self, counts: Counts) -> tuple[LayerShape, ...]:
        """Every layer when groups are left with ``counts``."""
        return tuple(layer.shaped(counts) for layer in self.layers)

    def lost(self, counts: Counts) -> float:
        """The importance of all channels that go."""
        return sum(group.lost(counts[group.name]) for group in self.groups)

    def grid(self) -> frozenset[LayerShape]:
        """The shapes that a table needs so that it can tell the time of every other one."""
        return frozenset(itertools.chain.from_iterable(map(self._grid, self.layers)))

    def _grid(self, layer: Layer) -> Iterator[LayerShape]:
        inputs = self._measured(layer.inputs)
        if layer.shape.is_depthwise or layer.inputs == layer.outputs:
            return (layer.shape.with_channels(count, count) for count in inputs)
        pairs = itertools.product(inputs, self._measured(layer.outputs))
        return (layer.shape.with_channels(*pair) for pair in pairs)

    def _measured(self, channels: Channels) -> tuple[int, ...]:
        """Both ends of what one side of a layer may have, and some between."""
        named = {group.name: group for group in self.groups}
        if len(channels.parts) == 1:
            ((name, _),) = channels.parts
            return tuple(channels.count({name: count}) for count in named[name].measured_choices())
        least, most = channels.count(self.smallest), channels.count(self.full)
        return _thinned(tuple(range(least, most + 1)), MEASURED_CHOICES)


def choices(size: int, round_to: int) -> tuple[int, ...]:
    """The numbers that a group of ``size`` channels may be left with: multiples of ``round_to``, and all."""
    multiples = range(round_to, size, round_to)
    return _thinned((*multiples, size), MOST_CHOICES)


def _thinned(values: tuple[int, ...], most: int) -> tuple[int, ...]:
    """``most`` of the values at even distances, the first and the last among them."""
    if len(values) <= most:
        return values
    last = len(values) - 1
    return tuple(values[round(number * last / (most - 1))] for number in range(most))
