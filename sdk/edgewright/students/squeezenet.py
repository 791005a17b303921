"""SqueezeNet 1.1."""

from __future__ import annotations

import torch
from torch import nn

from .blocks import channels, initialised

#: Squeezed and expanded channels; 0 stands for a pooling.
_FIRES = (
    (16, 64),
    (16, 64),
    (0, 0),
    (32, 128),
    (32, 128),
    (0, 0),
    (48, 192),
    (48, 192),
    (64, 256),
    (64, 256),
)


class Fire(nn.Module):
    """A squeeze, then a 1 x 1 and a 3 x 3 side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(inputs, squeezed, 1), nn.ReLU())
        self.narrow = nn.Sequential(nn.Conv2d(squeezed, expanded, 1), nn.ReLU())
        self.wide = nn.Sequential(nn.Conv2d(squeezed, expanded, 3, padding=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape ``[n, inputs, h, w]`` to ``[n, 2 * expanded, h, w]``."""
        y = self.squeeze(x)
        return torch.cat([self.narrow(y), self.wide(y)], 1)


def squeezenet(width: float, inputs: int, outputs: int, is_small: bool) -> nn.Module:
    """See the module. On small images the first convolution keeps the size and nothing is pooled after it."""
    now = channels(64, width)
    layers: list[nn.Module] = [nn.Conv2d(inputs, now, 3, 1 if is_small else 2, padding=1), nn.ReLU()]
    if not is_small:
        layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
    for squeezed, expanded in _FIRES:
        if squeezed == 0:
            layers.append(nn.MaxPool2d(3, 2, padding=1))
            continue
        wide = channels(expanded, width)
        layers.append(Fire(now, channels(squeezed, width), wide))
        now = 2 * wide
    layers += [nn.Dropout(0.2), nn.Conv2d(now, outputs, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return initialised(nn.Sequential(*layers))
