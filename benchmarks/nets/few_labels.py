"""A teacher that has seen all training images, and five labelled images of each digit for a student.

The images are as small as scikit-learn has them, 8 x 8. No label is softened: what a teacher learns of soft
ones it cannot hand on (Mueller et al., When Does Label Smoothing Help?, NeurIPS 2019).
"""

from dataclasses import replace

import torch
from fitted import SEED, fitted
from images import CLASSES, Digits
from torch import nn

from edgewright.compress.tuning import Tuning
from edgewright.workload import Workload

EPOCHS = 20
STUDENT_EPOCHS = 120
_SIZE = 8
_A_CLASS = 5


def network() -> nn.Sequential:
    """The teacher, untrained."""
    torch.manual_seed(SEED)
    layers: list[nn.Module] = []
    now = 1
    for width, stride in ((32, 1), (64, 2), (128, 1)):
        layers += [nn.Conv2d(now, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        now = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(now, CLASSES))


def make() -> Workload:
    """The teacher trained, and what its student is trained on."""
    digits = Digits.load(_SIZE)
    everything = replace(digits.training(EPOCHS, rate=4e-3), loss=nn.functional.cross_entropy)
    example = (torch.zeros(1, 1, _SIZE, _SIZE),)
    teacher = fitted(network(), example, everything, Tuning(epochs=EPOCHS, learning_rate=4e-3), code=__file__)
    few = digits.training(STUDENT_EPOCHS, rate=4e-3, a_class=_A_CLASS, batch_size=25)
    return digits.workload("few-labels", teacher, replace(few, loss=nn.functional.cross_entropy))
