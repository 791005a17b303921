"""A TFLite file is whole or it is refused, wherever it was cut and whatever was done to it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.models import tflite_zoo

from edgewright.errors import ConfigError
from edgewright.tflite_file import check_tflite

MAKERS = [
    *tflite_zoo.PLAIN.values(), tflite_zoo.strings, tflite_zoo.custom_operator, tflite_zoo.dynamic,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_a_whole_file_is_taken_and_no_beginning_of_it(make: Callable[[], bytes], tmp_path: Path) -> None:
    content, path = make(), tmp_path / "model.tflite"
    path.write_bytes(content)
    check_tflite(path)
    step = max(1, len(content) // 50)
    for end in [*range(8, len(content), step), len(content) - 1]:
        path.write_bytes(content[:end])
        with pytest.raises(ConfigError, match="not a valid TFLite file: truncated, or another format"):
            check_tflite(path)


@pytest.mark.parametrize("content", [b"T", b"TFL3", b"\x10\0\0\0TFL", b"hello, I am no model", bytes(100)])
def test_another_format_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a TFLite model"):
        check_tflite(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.integers(0, 1831), st.integers(0, 255), max_size=6))
def test_a_damaged_file_is_taken_or_refused_and_never_more(changes: dict[int, int], tmp_path: Path) -> None:
    content = bytearray(tflite_zoo.lstm())
    for place, value in changes.items():
        content[place] = value
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        check_tflite(path)


def test_a_file_that_points_to_the_same_place_over_and_over_is_read_once(tmp_path: Path) -> None:
    """Twenty thousand graphs of twenty thousand tensors, which are one graph and one tensor."""
    builder, count = flatbuffers.Builder(), 20_000

    def many(start: Callable[..., None], table: int) -> int:
        start(builder, count)
        for _ in range(count):
            builder.PrependUOffsetTRelative(table)
        return int(builder.EndVector())

    schema.TensorStart(builder)
    tensors = many(schema.SubGraphStartTensorsVector, schema.TensorEnd(builder))
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graphs = many(schema.ModelStartSubgraphsVector, schema.SubGraphEnd(builder))
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(builder.Output()))
    started = time.monotonic()
    check_tflite(path)
    assert time.monotonic() - started < 20
