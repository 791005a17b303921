"""scikit-learn's handwritten digits as grey images, upscaled, and shifted at random in training."""

from dataclasses import dataclass

import numpy as np
import torch
from fitted import SEED, cross_entropy
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from edgewright.workload import Array, Evaluation, Training, Workload

SIZE = 32
CLASSES = 10
SOURCE = "scikit-learn's digits (UCI ML hand-written digits, CC BY 4.0), upscaled"
EXAMPLE = (torch.zeros(1, 1, SIZE, SIZE),)
#: Of an image's size; it is shifted by so much at most.
_SHIFT = 0.1
_TESTED = 0.3
_CALIBRATED = 100


class Shifted(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Images with their labels, each time a little elsewhere."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self._size, self._most = images.shape[-1], round(_SHIFT * images.shape[-1])
        self._padded = nn.functional.pad(images, (self._most,) * 4)
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        down, right = torch.randint(2 * self._most + 1, (2,)).tolist()
        shifted = self._padded[index, :, down : down + self._size, right : right + self._size]
        return shifted, self._labels[index]


@dataclass(frozen=True)
class Digits:
    """Images of shape ``[n, 1, size, size]`` in about -1..1, and their labels."""

    images: torch.Tensor
    labels: torch.Tensor
    test_images: Array
    test_labels: Array

    @classmethod
    def load(cls, size: int = SIZE) -> "Digits":
        found = load_digits()
        small = torch.from_numpy((found.images[:, None] / 16).astype("float32"))
        large = nn.functional.interpolate(small, (size, size), mode="bilinear")
        images = ((large - 0.3) / 0.4).numpy()
        fit_x, test_x, fit_y, test_y = train_test_split(
            images, found.target, test_size=_TESTED, random_state=SEED, stratify=found.target
        )
        return cls(torch.from_numpy(fit_x), torch.from_numpy(fit_y), test_x, test_y)

    def training(self, epochs: int, rate: float, a_class: int = 0, batch_size: int = 64) -> Training:
        """What to train on: everything, or so many images of each class."""
        data = Shifted(self.images, self.labels)
        if a_class:
            each = [np.flatnonzero(self.labels.numpy() == label)[:a_class] for label in range(CLASSES)]
            kept = np.concatenate(each)
            data = Shifted(self.images[kept], self.labels[kept])
        return Training(data, cross_entropy, epochs=epochs, batch_size=batch_size, learning_rate=rate)

    def workload(self, name: str, model: nn.Module, training: Training) -> Workload:
        """A trained network with all that is needed to compress and judge it."""
        labels = self.test_labels
        return Workload(
            name=name,
            model=model,
            example_inputs=(torch.from_numpy(self.test_images[:1]),),
            calibration=[(image[None],) for image in self.images[:_CALIBRATED]],
            evaluate=Evaluation(
                metric="accuracy",
                inputs=(self.test_images,),
                score=lambda outputs: float((outputs[0].argmax(1) == labels).mean()),
            ),
            training=training,
            source=SOURCE,
        )
