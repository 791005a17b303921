"""A residual network of the form for CIFAR (He et al., CVPR 2016): three groups of equal blocks, then a mean.

14 layers and twice the channels; the first layer halves the resolution, as it does in the form for ImageNet.
"""

import torch
from fitted import SEED, fitted
from images import CLASSES, EXAMPLE, Digits
from torch import nn

from edgewright.compress.tuning import Tuning
from edgewright.workload import Workload

EPOCHS = 12
TUNING_EPOCHS = 2
_WIDTHS = (32, 64, 128)
_BLOCKS = 2


class Block(nn.Module):
    """Two 3 x 3 convolutions around which the input passes, through a 1 x 1 where its shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.around = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.around = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.inner(x) + self.around(x))


def network() -> nn.Sequential:
    """Untrained."""
    torch.manual_seed(SEED)
    now = _WIDTHS[0]
    layers: list[nn.Module] = [nn.Conv2d(1, now, 3, 2, 1, bias=False), nn.BatchNorm2d(now), nn.ReLU()]
    for group, width in enumerate(_WIDTHS):
        for number in range(_BLOCKS):
            layers.append(Block(now, width, stride=2 if group and not number else 1))
            now = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(now, CLASSES))


def make() -> Workload:
    """Trained."""
    digits = Digits.load()
    training = digits.training(TUNING_EPOCHS, rate=2e-3)
    model = fitted(network(), EXAMPLE, training, Tuning(epochs=EPOCHS, learning_rate=4e-3), code=__file__)
    return digits.workload("resnet-like", model, training)
