"""Times of layers: read between those that were taken, and kept on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.latency.layers import NOTHING, LayerShape
from edgewright.latency.table import LayerTable, TableFolder, TableKey

SHAPE = LayerShape("conv", 8, 8, (1, 4, 4), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
KEY = TableKey(("pi5", "Raspberry Pi 5"), "onnxruntime", "1.23.2", ("CPUExecutionProvider",), 4)


def at(inputs: int, outputs: int) -> LayerShape:
    return SHAPE.with_channels(inputs, outputs)


def product_table() -> LayerTable:
    """Multiples of 8 up to 32 either way; as a layer's multiplications go, and 7 for the call."""
    sides = (8, 16, 32)
    times = {at(a, b): 7.0 + 10.0 + a * b for a in sides for b in sides}
    return LayerTable({NOTHING: 7.0, **times})


def test_the_call_of_the_runtime_is_not_the_layer_s() -> None:
    assert product_table().time_ns(at(8, 16)) == 10.0 + 8 * 16
    assert LayerTable({NOTHING: 50.0, SHAPE: 40.0}).time_ns(SHAPE) == 0.0


@given(st.integers(8, 32), st.integers(8, 32))
def test_between_four_times_a_product_is_read_exactly(inputs: int, outputs: int) -> None:
    assert product_table().time_ns(at(inputs, outputs)) == pytest.approx(10.0 + inputs * outputs)


def test_an_exact_time_goes_before_what_is_read_between() -> None:
    table = product_table()
    assert table.time_ns(at(24, 24)) == pytest.approx(10.0 + 24 * 24)
    table.add({at(24, 24): 1007.0})
    assert table.time_ns(at(24, 24)) == 1000.0
    assert table.time_ns(at(24, 16)) == pytest.approx(10.0 + 24 * 16)


def test_a_depthwise_layer_is_read_along_its_one_axis() -> None:
    depthwise = LayerShape("conv", 32, 32, (1, 4, 4), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), groups=32)
    table = LayerTable({depthwise.with_channels(n, n): float(n) for n in (8, 32)})
    assert table.time_ns(depthwise.with_channels(16, 16)) == pytest.approx(16.0)


@pytest.mark.parametrize("outside", [at(40, 8), at(4, 8), replace(SHAPE, size=(1, 5, 5))])
def test_outside_of_what_was_taken_there_is_no_time(outside: LayerShape) -> None:
    with pytest.raises(KeyError, match="no time for conv 3x3"):
        product_table().time_ns(outside)


def test_what_is_missing_includes_the_call() -> None:
    assert LayerTable().missing([SHAPE]) == {SHAPE, NOTHING}
    assert product_table().missing([at(8, 8), at(9, 9)]) == {at(9, 9)}


def test_times_are_kept_and_found_again(tmp_path: Path) -> None:
    TableFolder(tmp_path, KEY).keep({NOTHING: 7.0, SHAPE: 40.0})
    TableFolder(tmp_path, KEY).keep({at(16, 16): 80.0})
    table = TableFolder(tmp_path, KEY).load()
    assert len(table) == 3 and table.time_ns(at(16, 16)) == 73.0


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, threads=1),
        replace(KEY, version="1.24.0"),
        replace(KEY, device=("pi5-b", "Raspberry Pi 5")),
        replace(KEY, providers=("XnnpackExecutionProvider",)),
        replace(KEY, runtime="ai-edge-litert"),
        replace(KEY, made=KEY.made + 1),
    ],
)
def test_another_unit_version_or_number_of_threads_has_times_of_its_own(
    tmp_path: Path, other: TableKey
) -> None:
    TableFolder(tmp_path, KEY).keep({SHAPE: 40.0})
    assert len(TableFolder(tmp_path, other).load()) == 0


def test_a_damaged_file_is_passed_over(tmp_path: Path) -> None:
    folder = TableFolder(tmp_path, KEY)
    folder.keep({SHAPE: 40.0})
    folder.keep({at(16, 16): 80.0})
    damaged = next(path for path in folder.path.iterdir() if b"80.0" in path.read_bytes())
    damaged.write_bytes(damaged.read_bytes()[:-20])
    (folder.path / "strange.json").write_text("{}")
    table = folder.load()
    assert table.missing([SHAPE, at(16, 16)]) == {at(16, 16), NOTHING}
