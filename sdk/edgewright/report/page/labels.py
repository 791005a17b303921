"""Where to write a label beside each marker so that it covers neither a marker nor another label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_CHARACTER, _LINE, _MARKER, _GAP = 6.4, 13.0, 7.0, 3.0
#: Plotly's name of a position -> where the label's centre lies, in half widths and half heights plus the gap.
_POSITIONS = {
    "top center": (0, 1),
    "bottom center": (0, -1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, 1),
    "top left": (-1, 1),
    "bottom right": (1, -1),
    "bottom left": (-1, -1),
}


@dataclass(frozen=True)
class Point:
    """A marker in pixels from the lower left corner of the drawing, and what to write beside it."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class _Box:
    left: float
    right: float
    low: float
    high: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.low < other.high
            and other.low < self.high
        )


def place_labels(points: Sequence[Point], width: float, height: float) -> list[str | None]:
    """A position for each point's label, None where there is room for none.

    Args:
        points: those that matter most first.
        width, height: of the drawing in pixels; labels stay inside.
    """
    taken = [_Box(p.x - _MARKER, p.x + _MARKER, p.y - _MARKER, p.y + _MARKER) for p in points]
    placed: list[str | None] = []
    for point in points:
        for name, (right, up) in _POSITIONS.items():
            box = _box(point, right, up)
            inside = box.left >= 0 and box.right <= width and box.low >= 0 and box.high <= height
            if inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                placed.append(name)
                break
        else:
            placed.append(None)
    return placed


def _box(point: Point, right: int, up: int) -> _Box:
    half_width, half_height = len(point.text) * _CHARACTER / 2, _LINE / 2
    x = point.x + right * (half_width + (_MARKER + _GAP if not up else _GAP))
    y = point.y + up * (half_height + (_MARKER + _GAP if not right else _GAP))
    return _Box(x - half_width, x + half_width, y - half_height, y + half_height)
