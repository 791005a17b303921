"""A transformer encoder (Vaswani et al., NIPS 2017) that tells winter from summer by a day's power."""

import torch
from fitted import SEED, fitted
from series import italy_power_demand
from torch import nn

from edgewright.compress.tuning import Tuning
from edgewright.workload import Workload

EPOCHS = 60
TUNING_EPOCHS = 4
_HOURS, _CLASSES = 24, 2
_WIDTH, _HEADS, _LAYERS = 64, 4, 2


class Block(nn.Module):
    """Attention, then two linear layers, each normalised beforehand and added."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.second_norm = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.query, self.key, self.value = (nn.Linear(_WIDTH, _WIDTH) for _ in range(3))
        self.mix = nn.Linear(_WIDTH, _WIDTH)
        self.wide, self.narrow = nn.Linear(_WIDTH, 4 * _WIDTH), nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = (x.shape[0], x.shape[1], _HEADS, _WIDTH // _HEADS)
        seen = self.norm(x)
        query, key, value = (
            part(seen).reshape(heads).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        weights = (query @ key.transpose(2, 3) / heads[3] ** 0.5).softmax(3)
        x = x + self.mix((weights @ value).transpose(1, 2).flatten(2))
        wide = nn.functional.gelu(self.wide(self.second_norm(x)))
        moved: torch.Tensor = x + self.narrow(wide)
        return moved


class Encoder(nn.Module):
    """Series of shape ``[n, 24, 1]`` to two scores."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, _WIDTH)
        self.places = nn.Parameter(0.1 * torch.randn(1, _HOURS, _WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(_LAYERS)))
        self.norm = nn.LayerNorm(_WIDTH)
        self.classify = nn.Linear(_WIDTH, _CLASSES)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        seen = self.blocks(self.embed(series) + self.places)
        scores: torch.Tensor = self.classify(self.norm(seen).mean(1))
        return scores


def network() -> nn.Module:
    """Untrained."""
    torch.manual_seed(SEED)
    return Encoder()


def make() -> Workload:
    """Trained."""
    days = italy_power_demand()
    training = days.training(TUNING_EPOCHS, rate=5e-4)
    tuning = Tuning(epochs=EPOCHS, learning_rate=1e-3)
    return days.workload(
        "transformer", fitted(network(), days.example, training, tuning, code=__file__), training
    )
