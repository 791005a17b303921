"""Two layers of gated recurrent units that tell speakers apart by their vowels."""

import torch
from fitted import SEED, fitted
from series import japanese_vowels
from torch import nn

from edgewright.compress.tuning import Tuning
from edgewright.workload import Workload

EPOCHS = 40
TUNING_EPOCHS = 5
_CHANNELS, _SPEAKERS, _WIDTH = 12, 9, 96


class Gru(nn.Module):
    """Series of shape ``[n, steps, channels]`` to the scores of the speakers."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(_CHANNELS, _WIDTH, num_layers=2, batch_first=True)
        self.inner = nn.Linear(_WIDTH, _WIDTH)
        self.classify = nn.Linear(_WIDTH, _SPEAKERS)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(series)
        scores: torch.Tensor = self.classify(nn.functional.relu(self.inner(states.mean(1))))
        return scores


def network() -> nn.Module:
    """Untrained."""
    torch.manual_seed(SEED)
    return Gru()


def make() -> Workload:
    """Trained."""
    vowels = japanese_vowels()
    training = vowels.training(TUNING_EPOCHS, rate=1e-3)
    tuning = Tuning(epochs=EPOCHS, learning_rate=4e-3)
    return vowels.workload(
        "gru", fitted(network(), vowels.example, training, tuning, code=__file__), training
    )
