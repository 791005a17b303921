"""Small networks, each with one thing about it that compression or export has to get right."""

from __future__ import annotations

from edgewright.build.session import import_torch

import_torch()

import torch  # noqa: E402
from torch import nn  # noqa: E402

from edgewright.workload import Training  # noqa: E402

Tensors = tuple[torch.Tensor, ...]


class Residual(nn.Module):
    """Depthwise and pointwise convolutions around a residual sum, relu6, a global mean and a classifier."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU6())
        self.inner = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 1),
            nn.ReLU6(),
            nn.Conv2d(4 * channels, 4 * channels, 3, padding=1, groups=4 * channels),
            nn.ReLU6(),
            nn.Conv2d(4 * channels, channels, 1),
        )
        self.classify = nn.Linear(channels, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        x = x + self.inner(x)
        scores: torch.Tensor = self.classify(x.mean((2, 3)))
        return scores.softmax(1)


class Dense(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(features)
        return scores


class Lstm(nn.Module):
    """Two recurrent layers over ``[n, steps, 6]``, of which no channel can be pruned."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recurrent, self.classify = nn.LSTM(6, 16, 2, batch_first=True), nn.Linear(16, 5)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(self.recurrent(series)[0][:, -1])
        return scores


class Many(nn.Module):
    """Inputs that are not in alphabetical order, of several types, one of them unused; twelve outputs."""

    def forward(
        self, zeta: torch.Tensor, alpha: torch.Tensor, unused: torch.Tensor, flag: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        del unused
        shift = alpha.float().sum() + flag.float()
        return tuple(zeta * float(number) + shift for number in range(1, 13))


class Variadic(nn.Module):
    """Twelve unnamed inputs, each of its own size."""

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return torch.stack([(number + 1) * tensor.sum() for number, tensor in enumerate(tensors)])


class Answers(nn.Module):
    """Outputs in a dict, one of them nested."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor | list[torch.Tensor]]:
        return {"scores": x * 2, "boxes": [x + 1, x - 1]}


class NoWeights(nn.Module):
    """Nothing to compress."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.cumsum(1)


def image(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def images(count: int) -> tuple[Tensors, ...]:
    return tuple((image(seed),) for seed in range(1, count + 1))


def features(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 8, generator=torch.Generator().manual_seed(seed))


def training(shape: tuple[int, ...], classes: int, epochs: int = 1, count: int = 32) -> Training:
    """Noise with labels that a small part of it decides, so that there is something to learn."""
    generator = torch.Generator().manual_seed(5)
    samples = torch.randn((count, *shape), generator=generator)
    labels = (samples.flatten(1)[:, :classes]).argmax(1)
    return Training(
        torch.utils.data.TensorDataset(samples, labels),
        nn.functional.cross_entropy,
        epochs=epochs,
        batch_size=16,
        learning_rate=2e-3,
    )


class Chain(nn.Module):
    """Convolutions in a row, one of them depthwise, then a linear layer; channels of very unlike ranges."""

    def __init__(self, channels: int = 16, spread: float = 1.5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 1), nn.ReLU(),
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.classify = nn.Linear(4 * channels, 5)
        drawn = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name in ("features.0", "features.3", "features.5"):
                factors = torch.exp(spread * torch.randn(channels, generator=drawn))
                self.get_parameter(f"{name}.weight").mul_(factors.reshape(-1, 1, 1, 1))
            self.get_buffer("features.1.running_var").mul_(torch.rand(channels, generator=drawn) + 0.5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(self.pool(self.features(image)).flatten(1))
        return scores


class Attention(nn.Module):
    """A transformer's block over ``[1, 8, 32]`` whose normalisations make a few channels very large."""

    def __init__(self, width: int = 32, outlier: float = 40.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(width)
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        with torch.no_grad():
            for norm in (self.norm, self.norm2):
                norm.weight[::11] *= outlier
            for layer in (self.queries, self.keys, self.values, self.wide):
                layer.weight[:, ::11] /= outlier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.norm(x)
        q, k, v = self.queries(seen), self.keys(seen), self.values(seen)
        x = x + self.out((q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ v)
        result: torch.Tensor = x + self.narrow(torch.relu(self.wide(self.norm2(x))))
        return result


def tokens(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 8, 32, generator=torch.Generator().manual_seed(seed))
