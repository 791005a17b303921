"""Labelled time series of the UCR and UEA archives, as the package aeon ships them.

aeon itself is not installed, since it asks for an older numpy: its wheel is fetched once with pip, and its
``.ts`` files are read from it.
"""

import subprocess
import sys
import zipfile
from dataclasses import dataclass

import numpy as np
import torch
from fitted import BUILD, cross_entropy
from torch import nn
from torch.utils.data import TensorDataset

from edgewright.workload import Array, Evaluation, Training, Workload

PACKAGE = "aeon==1.6.0"
_WHEEL = BUILD / "data" / "aeon-1.6.0-py3-none-any.whl"
_CALIBRATED = 100


def parse(text: str) -> tuple[Array, Array]:
    """Series of equal length of a ``.ts`` file, shape ``[n, steps, channels]``, and their classes from 0."""
    is_data = False
    classes: list[str] = []
    series, labels = [], []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if is_data:
            *channels, label = line.split(":")
            series.append(np.array([channel.split(",") for channel in channels], np.float32).T)
            labels.append(classes.index(label.strip()))
        elif line.lower().startswith("@classlabel"):
            classes = line.split()[2:]
        is_data = is_data or line.lower().startswith("@data")
    return np.stack(series), np.array(labels)


def read(name: str, suffix: str = "") -> tuple[Array, Array, Array, Array]:
    """Training and test series of a set, each with its classes."""
    if not _WHEEL.is_file():
        words = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(_WHEEL.parent),
        ]
        subprocess.run([*words, PACKAGE], check=True, stdout=sys.stderr)
    found: list[Array] = []
    with zipfile.ZipFile(_WHEEL) as wheel:
        for part in ("TRAIN", "TEST"):
            member = f"aeon/datasets/data/{name}/{name}{suffix}_{part}.ts"
            found += parse(wheel.read(member).decode())
    return found[0], found[1], found[2], found[3]


@dataclass(frozen=True)
class Series:
    """Series of shape ``[n, steps, channels]`` with their classes."""

    series: torch.Tensor
    labels: torch.Tensor
    test_series: Array
    test_labels: Array
    source: str

    @property
    def example(self) -> tuple[torch.Tensor, ...]:
        """One series."""
        return (torch.from_numpy(self.test_series[:1]),)

    def training(self, epochs: int, rate: float) -> Training:
        """What to train on."""
        data = TensorDataset(self.series, self.labels)
        return Training(data, cross_entropy, epochs=epochs, batch_size=32, learning_rate=rate)

    def workload(self, name: str, model: nn.Module, training: Training) -> Workload:
        """A trained network with all that is needed to compress and judge it."""
        labels = self.test_labels
        return Workload(
            name=name,
            model=model,
            example_inputs=self.example,
            calibration=[(one[None],) for one in self.series[:_CALIBRATED]],
            evaluate=Evaluation(
                metric="accuracy",
                inputs=(self.test_series,),
                score=lambda outputs: float((outputs[0].argmax(1) == labels).mean()),
            ),
            training=training,
            source=self.source,
        )


def japanese_vowels() -> Series:
    """Nine speakers to be told apart by the vowels they say: 25 steps of 12 coefficients."""
    x, y, test_x, test_y = read("JapaneseVowels", "_eq")
    source = "UCI Japanese Vowels (Kudo, Toyama and Shimbo, 1999), by the package aeon"
    return Series(torch.from_numpy(x), torch.from_numpy(y), test_x, test_y, source)


def italy_power_demand() -> Series:
    """Winter or summer by a day's electric power; both parts of the set, dealt out anew in halves.

    The set's own split leaves 67 days to train on.
    """
    x, y, test_x, test_y = read("ItalyPowerDemand")
    every, labels = np.concatenate([x, test_x]), np.concatenate([y, test_y])
    order = np.random.default_rng(0).permutation(len(every))
    first, second = np.array_split(order, 2)
    source = "ItalyPowerDemand of the UCR archive (Keogh et al.), by the package aeon"
    return Series(
        torch.from_numpy(every[first]), torch.from_numpy(labels[first]), every[second], labels[second], source
    )
