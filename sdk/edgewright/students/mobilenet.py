"""MobileNetV2, MobileNetV3 and EfficientNet-Lite0: inverted residuals after one table or another."""

from __future__ import annotations

from torch import nn

from .blocks import InvertedResidual, channels, convolution, initialised

#: Expansion, channels, blocks, stride, kernel.
_V2 = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 32, 3, 2, 3),
    (6, 64, 4, 2, 3),
    (6, 96, 3, 1, 3),
    (6, 160, 3, 2, 3),
    (6, 320, 1, 1, 3),
)
_LITE0 = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)

#: Kernel, inner channels, channels, squeeze-and-excitation, hard swish, stride.
_V3_SMALL = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
_V3_LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)

#: So many of the strides of 2, the first one of the stem included, are left out for small images.
_STRIDES_LEFT_OUT = 3


def mobilenet_v2(width: float, inputs: int, outputs: int, is_small: bool) -> nn.Module:
    """See the module."""
    return _stages(_V2, width, inputs, outputs, is_small, last=1280)


def efficientnet_lite0(width: float, inputs: int, outputs: int, is_small: bool) -> nn.Module:
    """See the module."""
    return _stages(_LITE0, width, inputs, outputs, is_small, last=1280)


def mobilenet_v3_small(width: float, inputs: int, outputs: int, is_small: bool) -> nn.Module:
    """See the module."""
    return _searched(_V3_SMALL, width, inputs, outputs, is_small, last=576, head=1024)


def mobilenet_v3_large(width: float, inputs: int, outputs: int, is_small: bool) -> nn.Module:
    """See the module."""
    return _searched(_V3_LARGE, width, inputs, outputs, is_small, last=960, head=1280)


class _Strides:
    """The strides of a network, the first few of 2 made 1 for small images."""

    def __init__(self, is_small: bool) -> None:
        self._left_out = _STRIDES_LEFT_OUT if is_small else 0

    def __call__(self, stride: int) -> int:
        if stride == 2 and self._left_out:
            self._left_out -= 1
            return 1
        return stride


def _stages(
    table: tuple[tuple[int, int, int, int, int], ...],
    width: float,
    inputs: int,
    outputs: int,
    is_small: bool,
    *,
    last: int,
) -> nn.Module:
    stride_of = _Strides(is_small)
    now = channels(32, width)
    layers: list[nn.Module] = [convolution(inputs, now, 3, stride_of(2))]
    for expansion, count, blocks, stride, kernel in table:
        first, wanted = stride_of(stride), channels(count, width)
        for number in range(blocks):
            step = first if number == 0 else 1
            layers.append(InvertedResidual(now, wanted, now * expansion, kernel, step, nn.ReLU6))
            now = wanted
    end = channels(last, max(1.0, width))
    layers += [convolution(now, end), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return initialised(nn.Sequential(*layers, nn.Linear(end, outputs)))


def _searched(
    table: tuple[tuple[int, int, int, bool, bool, int], ...],
    width: float,
    inputs: int,
    outputs: int,
    is_small: bool,
    *,
    last: int,
    head: int,
) -> nn.Module:
    stride_of = _Strides(is_small)
    now = channels(16, width)
    layers: list[nn.Module] = [convolution(inputs, now, 3, stride_of(2), activation=nn.Hardswish)]
    for kernel, inner, count, excites, swishes, stride in table:
        activation = nn.Hardswish if swishes else nn.ReLU
        wanted, wide = channels(count, width), channels(inner, width)
        layers.append(
            InvertedResidual(now, wanted, wide, kernel, stride_of(stride), activation, excites=excites)
        )
        now = wanted
    end, top = channels(last, width), channels(head, max(1.0, width))
    layers += [convolution(now, end, activation=nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers += [nn.Linear(end, top), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(top, outputs)]
    return initialised(nn.Sequential(*layers))
