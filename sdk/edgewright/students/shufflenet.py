"""ShuffleNet V2."""

from __future__ import annotations

import torch
from torch import nn

from .blocks import channels, convolution, initialised

#: Channels of the stages and of the end at width 1, and how many blocks a stage has.
_STAGES = ((116, 4), (232, 8), (464, 4))
_END = 1024


class Unit(nn.Module):
    """One half passes by, the other is worked on, and the halves are shuffled into each other."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.splits = stride == 1 and inputs == outputs
        into = half if self.splits else inputs
        self.work = nn.Sequential(
            convolution(into, half, activation=nn.ReLU),
            convolution(half, half, 3, stride, half, None),
            convolution(half, half, activation=nn.ReLU),
        )
        self.aside = nn.Sequential()
        if not self.splits:
            self.aside = nn.Sequential(
                convolution(inputs, inputs, 3, stride, inputs, None),
                convolution(inputs, half, activation=nn.ReLU),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape ``[n, inputs, h, w]`` to ``[n, outputs, h / stride, w / stride]``."""
        passing, worked = x.chunk(2, 1) if self.splits else (self.aside(x), x)
        both = torch.stack([passing, self.work(worked)], 2)
        return both.flatten(1, 2)


def shufflenet_v2(width: float, inputs: int, outputs: int, is_small: bool) -> nn.Module:
    """See the module. On small images the first convolution keeps the size and nothing is pooled after it."""
    now = channels(24, max(1.0, width))
    layers: list[nn.Module] = [convolution(inputs, now, 3, 1 if is_small else 2, activation=nn.ReLU)]
    if not is_small:
        layers.append(nn.MaxPool2d(3, 2, padding=1))
    for number, (count, blocks) in enumerate(_STAGES):
        wanted = channels(count, width)
        for block in range(blocks):
            stride = 2 if block == 0 and not (is_small and number == 0) else 1
            layers.append(Unit(now, wanted, stride))
            now = wanted
    end = channels(_END, max(1.0, width))
    layers += [convolution(now, end, activation=nn.ReLU), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return initialised(nn.Sequential(*layers, nn.Linear(end, outputs)))
