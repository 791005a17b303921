"""The times of layers on one device, and the folder in which they are kept.

A table belongs to one unit of a device, one runtime with its version and providers, and one number of
threads: its folder is named by all of that. Each job's times become a file of their own there, so that what
an interruption leaves behind is used by the next call, and any number of processes may add to it.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.errors import EdgewrightError
from edgewright.files import write_atomic

from .layers import NOTHING, LayerShape

#: Raised when files of layers are made in another way, whose times are then taken anew.
MADE = 1


@dataclass(frozen=True, config=STRICT)
class TableKey:
    """What the times belong to. ``device`` holds what tells one unit from another, as it says itself."""

    device: tuple[str, ...]
    runtime: str
    version: str
    providers: tuple[str, ...]
    threads: int
    made: int = MADE

    @property
    def folder(self) -> str:
        """A name made of all of it."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, config=STRICT)
class _Timed:
    """One layer's time in nanoseconds."""

    shape: LayerShape
    latency_ns: float


@dataclass(frozen=True, config=STRICT)
class _File:
    """One file of the folder."""

    key: TableKey
    times: tuple[_Timed, ...]
    schema: Literal["edgewright.layer-times/1"] = field(default="edgewright.layer-times/1")


class LayerTable:
    """Times by shape in nanoseconds, exact where they were taken and read between four others elsewhere.

    Args:
        times: as taken, with what calling the runtime costs, which is that of :data:`~.layers.NOTHING`.
    """

    def __init__(self, times: Mapping[LayerShape, float] | None = None) -> None:
        self._times: dict[LayerShape, float] = dict(times or {})
        self._forget()

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, shape: LayerShape) -> bool:
        return shape in self._times

    def missing(self, shapes: Iterable[LayerShape]) -> frozenset[LayerShape]:
        """Those whose time was not taken, the call of the runtime among them."""
        return frozenset(shape for shape in (*shapes, NOTHING) if shape not in self._times)

    def add(self, times: Mapping[LayerShape, float]) -> None:
        """More times."""
        self._times.update(times)
        self._forget()

    def time_ns(self, shape: LayerShape) -> float:
        """What the layer takes within a network: without the call of the runtime, which is paid once.

        Raises:
            KeyError: it was not taken, and there are no four others around it.
        """
        return self._read(shape)

    def total_ns(self, shapes: Iterable[LayerShape]) -> float:
        """What the layers take one after the other."""
        return sum(map(self._read, shapes))

    def _forget(self) -> None:
        families: dict[LayerShape, dict[tuple[int, int], float]] = {}
        for shape, taken in self._times.items():
            families.setdefault(shape.family, {})[shape.inputs, shape.outputs] = taken
        self._families = families
        self._read = lru_cache(maxsize=None)(self._compute)

    def _compute(self, shape: LayerShape) -> float:
        call_ns = self._times.get(NOTHING, 0.0)
        exact = self._times.get(shape)
        if exact is None:
            known = self._families.get(shape.family, {})
            exact = _between(known, shape.inputs, shape.outputs)
        if exact is None:
            raise KeyError(f"no time for {shape}")
        return max(0.0, exact - call_ns)


def _between(known: Mapping[tuple[int, int], float], inputs: int, outputs: int) -> float | None:
    """The time straight between the four nearest that make a rectangle around ``inputs`` and ``outputs``."""
    columns = sorted({x for x, _ in known})
    rows = sorted({y for _, y in known})
    if all(x == y for x, y in known) and inputs == outputs:
        return _between({(x, 0): taken for (x, _), taken in known.items()}, inputs, 0)
    for left, right in _around(columns, inputs):
        for low, high in _around(rows, outputs):
            corners = [(x, y) in known for x in (left, right) for y in (low, high)]
            if not all(corners):
                continue
            x = (inputs - left) / (right - left) if right > left else 0.0
            y = (outputs - low) / (high - low) if high > low else 0.0
            below = known[left, low] * (1 - x) + known[right, low] * x
            above = known[left, high] * (1 - x) + known[right, high] * x
            return below * (1 - y) + above * y
    return None


def _around(values: list[int], wanted: int) -> list[tuple[int, int]]:
    """Pairs of values that have ``wanted`` between them, the narrowest first."""
    at = bisect.bisect_left(values, wanted)
    exact = [(wanted, wanted)] if at < len(values) and values[at] == wanted else []
    lower, upper = values[:at], values[at + len(exact) :]
    pairs = [(low, high) for low in lower for high in upper]
    return exact + sorted(pairs, key=lambda pair: pair[1] - pair[0])


class TableFolder:
    """Where the times of one key are kept, under ``root``, in files named by their own content."""

    def __init__(self, root: Path, key: TableKey) -> None:
        self.path = root / key.folder
        self._key = key

    def load(self) -> LayerTable:
        """All times that are kept there. A damaged file is passed over: its times are taken again.

        Raises:
            EdgewrightError: the folder cannot be read.
        """
        times: dict[LayerShape, float] = {}
        try:
            paths = sorted(self.path.glob("[!.]*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in paths:
                times.update(_read_file(path.read_bytes(), path.stem, self._key))
        except OSError as error:
            raise EdgewrightError(f"{self.path}: cannot be read: {error.strerror}") from error
        return LayerTable(times)

    def keep(self, times: Mapping[LayerShape, float]) -> None:
        """Keep what one job took, whole or not at all."""
        timed = tuple(_Timed(shape, taken) for shape, taken in times.items())
        content = TypeAdapter(_File).dump_json(_File(self._key, timed), indent=1)
        write_atomic(self.path / f"{hashlib.sha256(content).hexdigest()}.json", content)


def _read_file(content: bytes, name: str, key: TableKey) -> dict[LayerShape, float]:
    if hashlib.sha256(content).hexdigest() != name:
        return {}
    try:
        read = TypeAdapter(_File).validate_json(content)
    except ValidationError:
        return {}
    return {timed.shape: timed.latency_ns for timed in read.times} if read.key == key else {}
