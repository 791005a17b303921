"""Layers alone as files: both runtimes run them, at the sizes that torch has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.errors import UnsupportedError
from edgewright.export.layers import filled, times_layer, write_layer
from edgewright.latency.layers import NOTHING, LayerShape
from edgewright.reference import reference_run

CONV = LayerShape("conv", 6, 10, (1, 9, 8), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
SHAPES = {
    "padded": CONV,
    "strided": LayerShape("conv", 6, 10, (1, 9, 8), (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
    "not padded": LayerShape("conv", 6, 10, (1, 9, 8), (5, 3), (1, 2), (1, 1), (0, 0, 0, 0)),
    "padded oddly": LayerShape("conv", 6, 10, (1, 9, 8), (3, 3), (1, 1), (1, 1), (0, 3, 2, 0)),
    "dilated": LayerShape("conv", 6, 10, (1, 9, 8), (3, 3), (1, 1), (2, 2), (2, 2, 2, 2)),
    "depthwise": LayerShape("conv", 6, 6, (1, 9, 8), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), groups=6),
    "grouped": LayerShape("conv", 6, 10, (1, 9, 8), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), groups=2),
    "batch": LayerShape("conv", 6, 10, (4, 9, 8), (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    "one axis": LayerShape("conv", 6, 10, (1, 20), (5,), (2,), (1,), (2, 2)),
    "linear": LayerShape("linear", 6, 10, (7,)),
    "nothing": NOTHING,
}


def output_of(
    shape: LayerShape, format: str, folder: Path
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    path = folder / f"layer.{format}"
    write_layer(shape, format, path)
    run = reference_run([path], format)
    (output,) = run.outputs.values()
    assert np.isfinite(output).all()
    return np.asarray(output)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_layer_runs_at_its_size(shape: LayerShape, format: str, tmp_path: Path) -> None:
    output = output_of(shape, format, tmp_path)
    if shape.operator == "conv":
        spatial = shape.output_size
        if format == "tflite":
            wanted = (shape.size[0], *[1] * (2 - len(spatial)), *spatial, shape.outputs)
        else:
            wanted = (shape.size[0], shape.outputs, *spatial)
    else:
        wanted = (shape.size[0], shape.outputs)
    assert output.shape == wanted


def test_three_axes_are_for_onnx(tmp_path: Path) -> None:
    cube = LayerShape("conv", 2, 3, (1, 4, 4, 4), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1, 1, 1, 1))
    assert output_of(cube, "onnx", tmp_path).shape == (1, 3, 4, 4, 4)
    assert times_layer(cube, "onnx") and not times_layer(cube, "tflite")
    with pytest.raises(UnsupportedError, match="TFLite has no conv 3x3x3 2->3"):
        write_layer(cube, "tflite", tmp_path / "cube.tflite")


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="unknown format 'onx'"):
        write_layer(CONV, "onx", tmp_path / "layer.onx")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
@settings(deadline=None)
def test_weights_are_small_and_not_all_the_same(sizes: list[int]) -> None:
    values = filled(*sizes)
    assert values.shape == tuple(sizes) and values.dtype == np.float32 and abs(values).max() <= 0.1
    assert values.size < 2 or len(np.unique(values)) > 1


def test_a_large_layer_travels_as_next_to_nothing(tmp_path: Path) -> None:
    import zstandard

    path = tmp_path / "large.onnx"
    write_layer(LayerShape("linear", 1024, 512, (1,)), "onnx", path)
    assert path.stat().st_size > 2_000_000
    assert len(zstandard.compress(path.read_bytes(), 3)) < 20_000
