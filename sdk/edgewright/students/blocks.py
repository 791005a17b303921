"""What the light networks share."""

from __future__ import annotations

import torch
from torch import nn


def channels(count: float, width: float, divisor: int = 8) -> int:
    """``count`` times ``width`` as a multiple of ``divisor``, never more than a tenth below."""
    wanted = count * width
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * wanted else rounded


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU6,
) -> nn.Sequential:
    """A convolution with normalisation and, mostly, an activation; the size stays but for the stride."""
    parts: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*parts, *([activation()] if activation else []))


class Excite(nn.Module):
    """Squeeze-and-excitation (Hu et al., CVPR 2018, arXiv 1709.01507): a factor for each channel."""

    def __init__(self, count: int) -> None:
        super().__init__()
        inner = channels(count, 0.25)
        self.factor = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(count, inner, 1),
            nn.ReLU(),
            nn.Conv2d(inner, count, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape ``[n, c, h, w]`` to the same."""
        scaled: torch.Tensor = x * self.factor(x)
        return scaled


class InvertedResidual(nn.Module):
    """Widen, go over the image channel by channel, narrow; and the input added where the shapes agree."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        inner: int,
        kernel: int,
        stride: int,
        activation: type[nn.Module],
        *,
        excites: bool = False,
    ) -> None:
        super().__init__()
        self.adds = inputs == outputs and stride == 1
        parts: list[nn.Module] = []
        if inner != inputs:
            parts.append(convolution(inputs, inner, activation=activation))
        parts.append(convolution(inner, inner, kernel, stride, inner, activation))
        if excites:
            parts.append(Excite(inner))
        parts.append(convolution(inner, outputs, activation=None))
        self.parts = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape ``[n, inputs, h, w]`` to ``[n, outputs, h / stride, w / stride]``."""
        y: torch.Tensor = self.parts(x)
        return x + y if self.adds else y


def initialised(module: nn.Module) -> nn.Module:
    """Weights drawn after He et al. (ICCV 2015), which suits activations that cut off below zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)
    return module
