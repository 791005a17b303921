"""Looking at a stranger's TFLite file before anything runs it: is all of it there.

A runtime that does not look reads past the end of a truncated file, and measures what it finds there.
Only the layout is followed, as TensorFlow's compiler/mlir/lite/schema/schema.fbs gives it.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ConfigError

_IDENTIFIER = b"TFL3"
_TEXT = 0


@dataclass(frozen=True)
class _Table:
    """What a kind of table holds, by field number.

    Attributes:
        arrays: vectors of plain values, by the size of one value in bytes, or texts.
        tables: one table each.
        vectors: vectors of tables.
    """

    name: str
    arrays: Mapping[int, int] = field(default_factory=dict)
    tables: Mapping[int, _Table] = field(default_factory=dict)
    vectors: Mapping[int, _Table] = field(default_factory=dict)


_BUFFER = _Table("Buffer", arrays={0: 1})
_TENSOR = _Table(
    "Tensor",
    arrays={0: 4, 3: _TEXT, 7: 4},
    tables={4: _Table("QuantizationParameters", arrays={0: 4, 1: 4, 2: 4, 3: 8})},
)
_OPERATOR = _Table("Operator", arrays={1: 4, 2: 4, 5: 1, 7: 1, 8: 4}, tables={4: _Table("BuiltinOptions")})
_SUBGRAPH = _Table("SubGraph", arrays={1: 4, 2: 4, 4: _TEXT}, vectors={0: _TENSOR, 3: _OPERATOR})
_TENSOR_MAP = _Table("TensorMap", arrays={0: _TEXT})
_MODEL = _Table(
    "Model",
    arrays={3: _TEXT, 5: 4},
    vectors={
        1: _Table("OperatorCode", arrays={1: _TEXT}),
        2: _SUBGRAPH,
        4: _BUFFER,
        6: _Table("Metadata", arrays={0: _TEXT}),
        7: _Table("SignatureDef", arrays={2: _TEXT}, vectors={0: _TENSOR_MAP, 1: _TENSOR_MAP}),
    },
)


class _Cut(Exception):
    """Something lies outside the file."""


def check_tflite(path: Path) -> None:
    """See that every part of the file that another part points to is inside it.

    Raises:
        ConfigError: it is no TFLite file, or not a whole one.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[4:8] != _IDENTIFIER:
            raise ConfigError(f"{path}: not a TFLite model", mend="its bytes 4 to 8 must read TFL3")
        try:
            _Walk(content).table(struct.unpack_from("<I", content)[0], _MODEL)
        except (_Cut, struct.error):
            raise ConfigError(f"{path}: not a valid TFLite file: truncated, or another format") from None


class _Walk:
    """Follows every offset once, however many point to the same place."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._size = len(content)
        self._seen: set[tuple[str, int]] = set()

    def table(self, at: int, kind: _Table) -> None:
        """A table and all it points to."""
        if (kind.name, at) in self._seen:
            return
        self._seen.add((kind.name, at))
        fields = self._fields(at)
        for number, width in kind.arrays.items():
            if number in fields:
                self._vector(fields[number], width)
        for number, inner in kind.tables.items():
            if number in fields:
                self.table(self._target(fields[number]), inner)
        for number, inner in kind.vectors.items():
            if number in fields:
                first, count = self._vector(fields[number], 4)
                for place in range(first, first + 4 * count, 4):
                    self.table(self._target(place), inner)
        if kind is _BUFFER:
            self._outside(fields)

    def _fields(self, at: int) -> dict[int, int]:
        """Where each field of the table is that it has."""
        layout = at - self._number("<i", at)
        layout_bytes, table_bytes = self._number("<H", layout), self._number("<H", layout + 2)
        self._inside(layout, layout_bytes)
        self._inside(at, table_bytes)
        slots = ((slot, self._number("<H", layout + 4 + 2 * slot)) for slot in range((layout_bytes - 4) // 2))
        return {slot: at + offset for slot, offset in slots if offset}

    def _outside(self, fields: Mapping[int, int]) -> None:
        """Contents of large models stand behind the tables, at an offset of the file's."""
        if 1 in fields and 2 in fields:
            offset, size = self._number("<Q", fields[1]), self._number("<Q", fields[2])
            if offset > 1:
                self._inside(offset, size)

    def _vector(self, place: int, width: int) -> tuple[int, int]:
        start = self._target(place)
        count = self._number("<I", start)
        self._inside(start + 4, count * width if width else count + 1)  # a text ends with a zero
        return start + 4, count

    def _target(self, place: int) -> int:
        return place + self._number("<I", place)

    def _number(self, form: str, at: int) -> int:
        self._inside(at, struct.calcsize(form))
        number: int = struct.unpack_from(form, self._content, at)[0]
        return number

    def _inside(self, at: int, size: int) -> None:
        if at < 0 or at + size > self._size:
            raise _Cut
