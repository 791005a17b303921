"""A network of MobileNetV2's form (Sandler et al., CVPR 2018) for 32 x 32 images: inverted residuals."""

import torch
from fitted import SEED, fitted
from images import CLASSES, EXAMPLE, Digits
from torch import nn

from edgewright.compress.tuning import Tuning
from edgewright.students.blocks import InvertedResidual, convolution, initialised
from edgewright.workload import Workload

EPOCHS = 12
TUNING_EPOCHS = 2
#: Channels, blocks and the stride of the first; inside there are six times as many.
_TABLE = ((24, 2, 1), (32, 3, 2), (64, 3, 2), (96, 2, 1))
_STEM, _LAST, _EXPANSION = 16, 256, 6


def network() -> nn.Sequential:
    """Untrained."""
    torch.manual_seed(SEED)
    now = _STEM
    layers: list[nn.Module] = [convolution(1, now, 3, 2)]
    for width, blocks, stride in _TABLE:
        for number in range(blocks):
            step = 1 if number else stride
            layers.append(InvertedResidual(now, width, _EXPANSION * now, 3, step, nn.ReLU6))
            now = width
    layers += [convolution(now, _LAST), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_LAST, CLASSES)]
    return nn.Sequential(*map(initialised, layers))


def make() -> Workload:
    """Trained."""
    digits = Digits.load()
    training = digits.training(TUNING_EPOCHS, rate=2e-3)
    model = fitted(network(), EXAMPLE, training, Tuning(epochs=EPOCHS, learning_rate=4e-3), code=__file__)
    return digits.workload("mobilenetv2-like", model, training)
