"""The optimization of :mod:`edgewright.compress.adaround`, one layer at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .tuning import SEED

if TYPE_CHECKING:
    import torch
    from torch import fx

    from . import ModelJob
    from .adaround import AdaRoundOptions, Grid
    from .traced import Layer, Traced

#: The rectified sigmoid reaches a little beyond 0 and 1, so that it can get there (Louizos et al., 2018).
_BELOW, _ABOVE = -0.1, 1.1
#: The share of the iterations without the term that drives weights to one side, and its exponent's ends.
_FREE = 0.2
_SOFT, _HARD = 20.0, 2.0
#: How much that term counts against the layer's error, which begins at one.
_DRIVE = 1.0


def moments(
    module: torch.nn.Module, traced: Traced, layers: list[Layer], places: int, job: ModelJob
) -> dict[fx.Node, torch.Tensor]:
    """The mean of ``x x^T`` over samples and places, ``[groups, inputs, inputs]``, by layer.

    The inputs of a convolution are all that its kernel sees at one place of the output, padding included.
    """
    import torch

    drawn = torch.Generator().manual_seed(SEED)
    sums: dict[fx.Node, torch.Tensor] = {}
    counts: dict[fx.Node, int] = {}

    def watch(layer: Layer) -> Any:
        def see(value: torch.Tensor) -> None:
            rows = _rows(value.float(), layer, module.get_parameter(layer.weight))
            if rows.shape[1] > places:
                rows = rows[:, torch.randperm(rows.shape[1], generator=drawn)[:places]]
            added = rows.transpose(1, 2) @ rows
            sums[layer.node] = added if layer.node not in sums else sums[layer.node].add_(added)
            counts[layer.node] = counts.get(layer.node, 0) + rows.shape[1]

        return see

    watches: dict[fx.Node, Any] = {}
    for layer in layers:
        source: Any = layer.node.args[0]
        watches[source] = _both(watches[source], watch(layer)) if source in watches else watch(layer)
    traced.run(job, watches, "rounding, inputs of layers")
    return {node: total / max(counts[node], 1) for node, total in sums.items()}


def learnt(
    module: torch.nn.Module, layer: Layer, seen: torch.Tensor, grid: Grid, options: AdaRoundOptions
) -> tuple[float, float]:
    """Round a layer's weights in place; returns its squared error rounded to nearest, and as it is now."""
    import torch

    weight = module.get_parameter(layer.weight)
    shape = weight.shape
    rows = weight.detach().float().clone().reshape(layer.groups, shape[0] // layer.groups, -1)
    peak = rows.abs().amax(2, keepdim=True) if grid.per_channel else rows.abs().amax().reshape(1, 1, 1)
    scale = torch.where(peak > 0, peak / grid.most, torch.ones_like(peak))
    exact = rows / scale
    fixed = rows.abs() == peak
    nearest = exact.round().clamp(-grid.most, grid.most)
    floor = exact.floor().clamp(-grid.most, grid.most)

    def errors(codes: torch.Tensor) -> torch.Tensor:
        """By output channel."""
        missing = codes * scale - rows
        return (missing * (missing @ seen)).sum(2)

    begun = errors(nearest)
    whole = float(begun.sum())
    if not math.isfinite(whole) or whole <= 0:
        _put(weight, nearest * scale)
        return 0.0, 0.0
    up = _optimized(exact - floor, floor, scale, rows, seen / whole, options)
    codes = torch.where(fixed, nearest, (floor + up).clamp(-grid.most, grid.most))
    codes = torch.where((errors(codes) < begun)[..., None], codes, nearest)
    _put(weight, codes * scale)
    return whole, float(errors(codes).sum())


def _optimized(
    part: torch.Tensor,
    floor: torch.Tensor,
    scale: torch.Tensor,
    rows: torch.Tensor,
    seen: torch.Tensor,
    options: AdaRoundOptions,
) -> torch.Tensor:
    """Ones for the weights to round up."""
    import torch

    part = part.clamp(0.01, 0.99)
    free = torch.log((part - _BELOW) / (_ABOVE - part)).requires_grad_(True)
    optimizer = torch.optim.Adam([free], lr=options.learning_rate)
    warm = int(_FREE * options.iterations)
    for step in range(options.iterations):
        soft = torch.clamp(torch.sigmoid(free) * (_ABOVE - _BELOW) + _BELOW, 0, 1)
        missing = (floor + soft) * scale - rows
        pull = (missing @ seen).detach()
        loss = 2 * (missing * pull).sum()  # the gradient of the quadratic form, with one product
        if step >= warm:
            done = (step - warm) / max(options.iterations - warm, 1)
            exponent = _HARD + (_SOFT - _HARD) * (1 + math.cos(done * math.pi)) / 2
            loss = loss + _DRIVE * (1 - (2 * soft - 1).abs().pow(exponent)).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return (free.detach() >= 0).to(rows.dtype)


def _put(weight: torch.Tensor, value: torch.Tensor) -> None:
    import torch

    with torch.no_grad():
        weight.copy_(value.reshape(weight.shape))


def _both(first: Any, second: Any) -> Any:
    def see(value: torch.Tensor) -> None:
        first(value)
        second(value)

    return see


def _rows(value: torch.Tensor, layer: Layer, weight: torch.Tensor) -> torch.Tensor:
    """What a layer multiplies its weights with, ``[groups, places, inputs]``."""
    import torch

    from .traced import argument

    if layer.kind == "linear":
        return value.reshape(1, -1, value.shape[-1])
    axes = weight.dim() - 2
    settings = {name: _each(argument(layer.node, name, 1), axes) for name in ("stride", "dilation")}
    padding = argument(layer.node, "padding", 0)
    kernel = weight.shape[2:]
    if padding == "same":
        reach = [d * (k - 1) for d, k in zip(settings["dilation"], kernel, strict=True)]
        pads = [side for total in reversed(reach) for side in (total // 2, total - total // 2)]
    else:
        pads = [
            side
            for each in reversed(_each(0 if padding == "valid" else padding, axes))
            for side in (each, each)
        ]
    value = torch.nn.functional.pad(value, pads)
    for axis in range(axes):
        stride, dilation = settings["stride"][axis], settings["dilation"][axis]
        value = value.unfold(2 + axis, dilation * (kernel[axis] - 1) + 1, stride)[..., ::dilation]
    # [samples, channels, places..., kernel...] -> [groups, samples x places, channels of a group x kernel]
    samples, channels = value.shape[:2]
    count = math.prod(value.shape[2 : 2 + axes])
    value = value.reshape(samples, layer.groups, channels // layer.groups, count, -1)
    return value.permute(1, 0, 3, 2, 4).reshape(layer.groups, samples * count, -1)


def _each(value: Any, axes: int) -> list[int]:
    given = [value] if isinstance(value, int) else list(value)
    return given * axes if len(given) == 1 else given
