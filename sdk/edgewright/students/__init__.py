"""Light networks to be students of a larger one: untrained, of any width, with the teacher's outputs."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.config import did_you_mean
from edgewright.errors import CompressionError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
        place: ``module:function``; called with width, input channels, outputs, and whether images are small.
        source: the paper.
    """

    place: str
    description: str
    source: str


FAMILIES: dict[str, Family] = {
    "efficientnet-lite0": Family(
        "edgewright.students.mobilenet:efficientnet_lite0",
        "inverted residuals scaled together, without squeeze-and-excitation, ReLU6",
        "Tan and Le, EfficientNet, ICML 2019, arXiv 1905.11946; Lite: Google, 2020",
    ),
    "mobilenet-v2": Family(
        "edgewright.students.mobilenet:mobilenet_v2",
        "inverted residuals with linear bottlenecks, ReLU6",
        "Sandler et al., MobileNetV2, CVPR 2018, arXiv 1801.04381",
    ),
    "mobilenet-v3-small": Family(
        "edgewright.students.mobilenet:mobilenet_v3_small",
        "inverted residuals found by search, squeeze-and-excitation, hard swish",
        "Howard et al., Searching for MobileNetV3, ICCV 2019, arXiv 1905.02244",
    ),
    "mobilenet-v3-large": Family(
        "edgewright.students.mobilenet:mobilenet_v3_large",
        "the larger of the two",
        "Howard et al., Searching for MobileNetV3, ICCV 2019, arXiv 1905.02244",
    ),
    "shufflenet-v2": Family(
        "edgewright.students.shufflenet:shufflenet_v2",
        "half of the channels pass by, the halves are shuffled",
        "Ma et al., ShuffleNet V2, ECCV 2018, arXiv 1807.11164",
    ),
    "squeezenet": Family(
        "edgewright.students.squeezenet:squeezenet",
        "1 x 1 squeezes before parallel 1 x 1 and 3 x 3 (version 1.1)",
        "Iandola et al., SqueezeNet, 2016, arXiv 1602.07360",
    ),
}

#: Up to this size of an image the first layers keep its resolution: there would be nothing left at the end.
SMALL_IMAGE = 64


def make_student(name: str, width: float, example: torch.Tensor, outputs: int) -> torch.nn.Module:
    """An untrained network of that family.

    Args:
        width: of its channels, as a share of the published ones.
        example: an input, shape ``[n, channels, height, width]``.
        outputs: how many scores it gives.

    Raises:
        CompressionError: no family is called so, or the input is no image.
    """
    if name not in FAMILIES:
        raise CompressionError(f"no student is called {name!r}", mend=did_you_mean(name, list(FAMILIES)))
    if example.dim() != 4:
        raise CompressionError(f"{name} takes images, the model's input has shape {list(example.shape)}")
    module, _, function = FAMILIES[name].place.partition(":")
    made: torch.nn.Module = getattr(importlib.import_module(module), function)(
        width, example.shape[1], outputs, max(example.shape[2:]) <= SMALL_IMAGE
    )
    return made
