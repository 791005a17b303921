"""A network of AlexNet's form (Krizhevsky et al., NIPS 2012) for 32 x 32 images.

As there, five convolutions, the first two of large kernels, are followed by three linear layers that hold
most of the weights.
"""

import torch
from fitted import SEED, fitted
from images import CLASSES, EXAMPLE, Digits
from torch import nn

from edgewright.compress.tuning import Tuning
from edgewright.workload import Workload

EPOCHS = 15
TUNING_EPOCHS = 2


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def trunk() -> nn.Sequential:
    """The convolutions."""
    return nn.Sequential(
        *_layer(1, 32, 5, stride=2),
        nn.MaxPool2d(2),
        *_layer(32, 96, 5),
        nn.MaxPool2d(2),
        *_layer(96, 192, 3),
        *_layer(192, 128, 3),
        *_layer(128, 128, 3),
    )


def network() -> nn.Sequential:
    """The whole network."""
    torch.manual_seed(SEED)
    width = 2048
    return nn.Sequential(
        trunk(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(512, width),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, CLASSES),
    )


def convolutions_only() -> nn.Sequential:
    """The convolutions with one linear layer over their means, so that file and time are theirs."""
    torch.manual_seed(SEED)
    return nn.Sequential(trunk(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, CLASSES))


def make() -> Workload:
    """The whole network, trained."""
    return _trained("alexnet-like", network())


def convolutions() -> Workload:
    """The convolutions alone, trained."""
    return _trained("alexnet-convolutions", convolutions_only())


def _trained(name: str, model: nn.Module) -> Workload:
    digits = Digits.load()
    training = digits.training(TUNING_EPOCHS, rate=1e-3)
    tuning = Tuning(epochs=EPOCHS, learning_rate=2e-3)
    return digits.workload(name, fitted(model, EXAMPLE, training, tuning, code=__file__), training)
