"""A network of VGG16's form (Simonyan and Zisserman, ICLR 2015) for 32 x 32 images, with batch normalisation.

As there, thirteen 3 x 3 convolutions in five groups are followed by three linear layers that hold most of the
weights. A quarter of the channels; the last pooling is left out, since four positions are left.
"""

import torch
from fitted import SEED, fitted
from images import CLASSES, EXAMPLE, Digits
from torch import nn

from edgewright.compress.tuning import Tuning
from edgewright.students.blocks import initialised
from edgewright.workload import Workload

EPOCHS = 10
TUNING_EPOCHS = 2
#: Channels; 0 halves the resolution.
GROUPS = (16, 16, 0, 32, 32, 0, 64, 64, 64, 0, 128, 128, 128, 0, 128, 128, 128)


def trunk() -> nn.Sequential:
    """The convolutions."""
    layers: list[nn.Module] = []
    now = 1
    for channels in GROUPS:
        if not channels:
            layers.append(nn.MaxPool2d(2))
            continue
        convolution = nn.Conv2d(now, channels, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
        now = channels
    return nn.Sequential(*layers)


def network() -> nn.Sequential:
    """The whole network."""
    torch.manual_seed(SEED)
    return nn.Sequential(
        initialised(trunk()),
        nn.Flatten(),
        nn.Linear(512, 2048),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(2048, 2048),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(2048, CLASSES),
    )


def convolutions_only() -> nn.Sequential:
    """The convolutions with one linear layer over their means, so that file and time are theirs."""
    torch.manual_seed(SEED)
    return nn.Sequential(initialised(trunk()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, CLASSES))


def make() -> Workload:
    """The whole network, trained."""
    return _trained("vgg-like", network())


def convolutions() -> Workload:
    """The convolutions alone, trained."""
    return _trained("vgg-convolutions", convolutions_only())


def _trained(name: str, model: nn.Module) -> Workload:
    digits = Digits.load()
    training = digits.training(TUNING_EPOCHS, rate=1e-3, batch_size=32)
    tuning = Tuning(epochs=EPOCHS, learning_rate=2e-3)
    return digits.workload(name, fitted(model, EXAMPLE, training, tuning, code=__file__), training)
