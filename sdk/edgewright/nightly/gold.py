"""The gold standard: a tiny model whose outputs are known exactly, to tell a healthy device from a sick one.

All its numbers are small integers, and so are all sums on the way: any processor that computes in floats of
16 bits or more has to come to the very same numbers, in whatever order it adds. They are worked out here by
numpy, not by a runtime. It exists in both formats; the TFLite file lies beside this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgewright.artifact import Artifact, sha256_file
from edgewright.temporary import work_folder
from edgewright.tensorfile import write_arrays
from edgewright_agent.protocol import Tolerance

if TYPE_CHECKING:
    import onnx

#: The right numbers are whole.
MAX_ABS = 0.01
#: More than a cosine can be: only the absolute error counts.
_TOLERANCE = Tolerance(cosine=2.0, max_abs=MAX_ABS)
_SIZE, _CHANNELS, _WIDTH = 6, 2, 4


@contextmanager
def gold_standard(format_name: str) -> Iterator[Artifact]:
    """The model, its inputs and its outputs as files that last for the block."""
    with work_folder("gold") as where:
        path = where / f"gold.{format_name}"
        is_tflite = format_name == "tflite"
        if is_tflite:
            path.write_bytes(files(__package__).joinpath("gold.tflite").read_bytes())
        else:
            path.write_bytes(_model().SerializeToString())
        image = gold_input()
        fed = image.transpose(0, 2, 3, 1) if is_tflite else image
        write_arrays(where / "inputs.npz", {"image": np.ascontiguousarray(fed)})
        write_arrays(where / "expected.npz", {"scores": gold_output(image, channels_last=is_tflite)})
        yield Artifact(
            path=path,
            format=format_name,
            sha256=sha256_file(path),
            size_bytes=path.stat().st_size,
            inputs=where / "inputs.npz",
            expected=where / "expected.npz",
            tolerance=_TOLERANCE,
        )


def gold_input() -> NDArray[np.float32]:
    """An image of small integers, 1 x 2 x 6 x 6."""
    count = _CHANNELS * _SIZE * _SIZE
    return (np.arange(count, dtype=np.float32) * 7 % 5 - 2).reshape(1, _CHANNELS, _SIZE, _SIZE)


def gold_output(image: NDArray[np.float32], *, channels_last: bool = False) -> NDArray[np.float32]:
    """What comes of it: a convolution, what is negative cut off, and a product with a matrix.

    The matrix takes the maps one after another, or, with ``channels_last``, one point after another.
    """
    kernel, matrix = gold_weights()
    inner = _SIZE - 2
    maps = np.zeros((_WIDTH, inner, inner), np.float32)
    for row in range(inner):
        for column in range(inner):
            patch = image[0, :, row : row + 3, column : column + 3]
            maps[:, row, column] = np.tensordot(kernel, patch, axes=3)
    cut = np.maximum(maps, 0)
    flat = (cut.transpose(1, 2, 0) if channels_last else cut).reshape(1, -1)
    return (flat @ matrix).astype(np.float32)


def gold_weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The kernel, output and input channels first, and the matrix, inputs first."""
    kernel = np.arange(_WIDTH * _CHANNELS * 9, dtype=np.float32) * 5 % 3 - 1
    rows = _WIDTH * (_SIZE - 2) ** 2
    matrix = np.arange(rows * _WIDTH, dtype=np.float32) * 11 % 3 - 1
    return kernel.reshape(_WIDTH, _CHANNELS, 3, 3), matrix.reshape(rows, _WIDTH)


def _model() -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["maps"]),
        helper.make_node("Relu", ["maps"], ["cut"]),
        helper.make_node("Flatten", ["cut"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, _CHANNELS, _SIZE, _SIZE])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, _WIDTH])
    kernel, matrix = gold_weights()
    weights = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(matrix, "matrix")]
    graph = helper.make_graph(nodes, "gold", [image], [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
