"""A small convolutional network on scikit-learn's handwritten digits, trained here in seconds.

Try it:

    edgewright build examples/digits.py:workload --recipe int8-static --profile x86-64-linux \\
        --format onnx -o out
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import TensorDataset

from edgewright.workload import Evaluation, Training, Workload

SEED = 0
EPOCHS = 12
TUNING_EPOCHS = 6


class DigitNet(nn.Module):
    """8 x 8 grey pixels in 0..1 to ten class scores."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *self._block(1, 32, stride=1), *self._block(32, 64, stride=2), *self._block(64, 64, stride=2)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classify = nn.Linear(64, 10)

    @staticmethod
    def _block(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        return convolution, nn.BatchNorm2d(outputs), nn.ReLU()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(self.pool(self.features(image)).flatten(1))
        return scores


def fit(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, rate: float) -> None:
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, epochs=epochs, steps_per_epoch=-(-len(images) // 64)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # batches this small take longer when they are shared
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for batch in torch.split(order, 64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch], label_smoothing=0.05)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    model.eval()
    torch.set_num_threads(threads)


def workload() -> Workload:
    torch.manual_seed(SEED)
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype("float32")
    fit_x, test_x, fit_y, test_y = train_test_split(
        images, digits.target, test_size=0.2, random_state=SEED, stratify=digits.target
    )
    train_images, train_labels = torch.from_numpy(fit_x), torch.from_numpy(fit_y)

    model = DigitNet()
    fit(model, train_images, train_labels, EPOCHS, rate=4e-3)

    return Workload(
        name="digits",
        model=model,
        example_inputs=(torch.from_numpy(test_x[:1]),),
        calibration=[(image[None],) for image in train_images[:200]],
        evaluate=Evaluation(
            metric="accuracy",
            inputs=(test_x,),
            score=lambda outputs: float((outputs[0].argmax(1) == test_y).mean()),
        ),
        training=Training(
            data=TensorDataset(train_images, train_labels),
            loss=lambda scores, labels: nn.functional.cross_entropy(scores, labels, label_smoothing=0.05),
            epochs=TUNING_EPOCHS,
            learning_rate=2e-3,
        ),
        source="scikit-learn's digits (UCI ML hand-written digits, CC BY 4.0)",
    )
