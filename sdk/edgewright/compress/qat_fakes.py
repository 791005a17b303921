"""Rounding in floats: what an integer tensor can hold, with gradients that pass straight through."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from .attention_masks import end_of_rows

#: How fast a range follows what is seen, a batch at a time.
_FOLLOW = 0.05
#: Activations have 256 levels, signed or not.
LEVELS = 255
_LEAST_SCALE = 1e-12


@dataclass
class Phase:
    """What all roundings of a model do at the moment.

    Attributes:
        observes: ranges follow the activations.
        rounds: values are rounded.
        seen: where the values at each place are put, by its name; None to put them nowhere.
    """

    observes: bool = False
    rounds: bool = True
    seen: dict[str, torch.Tensor] | None = field(default=None)


class Activation(nn.Module):
    """Rounds an activation to 256 levels between two ends, of which zero is one.

    Attributes:
        low, high: the ends. They are infinite where the activation is, and then nothing is rounded.
        rows: the axis of a softmax's rows, where nothing but a softmax takes the values. See
            :mod:`.attention_masks`.

    Args:
        fixed: the ends when the runtimes have fixed them; else they are what is seen.
    """

    low: torch.Tensor
    high: torch.Tensor
    is_set: torch.Tensor

    def __init__(self, name: str, phase: Phase, fixed: tuple[float, float] | None = None) -> None:
        super().__init__()
        self.name = name
        self._phase = phase
        self._is_fixed = fixed is not None
        self.rows: int | None = None
        low, high = fixed or (0.0, 0.0)
        self.register_buffer("low", torch.full((1,), low))
        self.register_buffer("high", torch.full((1,), high))
        self.register_buffer("is_set", torch.full((1,), self._is_fixed))

    @property
    def is_finite(self) -> bool:
        """Whether there is a range to round in."""
        return bool(torch.isfinite(self.low) & torch.isfinite(self.high) & self.is_set)

    def scale(self) -> torch.Tensor:
        """How far apart two levels are."""
        width = self.high - self.low
        return torch.where(width > 0, width, torch.ones_like(width)) / LEVELS  # see Range.usable

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``values``, rounded unless the phase says otherwise."""
        if self._phase.seen is not None:
            self._phase.seen[self.name] = values.detach().clone()
        if self._phase.observes and not self._is_fixed:
            self._observe(values.detach())
        if not self._phase.rounds or not self.is_finite:
            return values
        scale = self.scale()
        zero = (-self.low / scale).round().to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, LEVELS)

    def _observe(self, values: torch.Tensor) -> None:
        low, high = torch.aminmax(values)
        if self.rows is not None:
            low = low.clamp_min(min(end_of_rows(values.cpu().numpy(), self.rows), 0.0))
        low, high = low.clamp_max(0.0), high.clamp_min(0.0)
        if not self._phase.rounds:  # before the training: whatever was seen is within
            self.low.copy_(torch.minimum(self.low, low))
            self.high.copy_(torch.maximum(self.high, high))
            self.is_set.fill_(True)
        elif self.is_finite:
            self.low.lerp_(low, _FOLLOW)
            self.high.lerp_(high, _FOLLOW)


class Passage(nn.Module):
    """An activation that is rounded further on: the file has it in the steps of that place already."""

    def __init__(self, name: str, phase: Phase, end: Activation) -> None:
        super().__init__()
        self.name = name
        self._phase = phase
        self._end = (end,)  # in a tuple, so that it is not this module's own

    @property
    def end(self) -> Activation:
        """Where it is rounded."""
        return self._end[0]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``values`` as they are."""
        if self._phase.seen is not None:
            self._phase.seen[self.name] = values.detach().clone()
        return values


class Weight(nn.Module):
    """Rounds a weight to a grid around zero: the largest weight, of each channel or of all, is its end."""

    def __init__(self, axis: int | None, bits: int, phase: Phase) -> None:
        super().__init__()
        self._axis = axis
        self._phase = phase
        # As the quantizers of both formats have it: 7 bits use one level more than they would need to.
        self._most = 64 if bits == 7 else 2 ** (bits - 1) - 1

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """``weight``, rounded unless the phase says otherwise."""
        if not self._phase.rounds:
            return weight
        scale = self.scale(weight)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        if self._axis is None:
            return torch.fake_quantize_per_tensor_affine(weight, scale, zero, -self._most, self._most)
        axis = self._axis % weight.dim()
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, -self._most, self._most)

    def scale(self, weight: torch.Tensor) -> torch.Tensor:
        """How far apart two levels are, one value for each channel or in all."""
        size = weight.detach().abs()
        if self._axis is None:
            peak = size.amax().reshape(1)
        else:
            peak = size.amax([other for other in range(size.dim()) if other != self._axis % size.dim()])
        return (peak / self._most).clamp_min(_LEAST_SCALE)


class Bias(nn.Module):
    """Rounds a bias to the steps of the sums that it is added to, the input's times the weight's."""

    def __init__(self, source: Activation, weight: Weight, phase: Phase) -> None:
        super().__init__()
        self._of = (source, weight)  # in a tuple, so that they are not this module's own
        self._phase = phase

    def forward(self, bias: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """``bias``, rounded unless the phase says otherwise."""
        source, rounding = self._of
        if not self._phase.rounds or not source.is_finite:
            return bias
        step = (source.scale() * rounding.scale(weight)).detach()
        return bias + ((bias / step).round() * step - bias).detach()
