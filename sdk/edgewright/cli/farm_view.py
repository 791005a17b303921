"""What a person sees while a night goes by: a table on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgewright.boundary import progress_stream
from edgewright.report.text import clean
from edgewright.row import Failed, Row, Skipped

from .phases import notice, phase_text

_STYLES = {"measuring": "cyan", "checking": "yellow", "quarantined": "red", "done": "green"}
_DETAIL_CHARACTERS = 90


@dataclass
class _Device:
    """A line of the table."""

    cells: int
    state: str = "idle"
    detail: str = ""
    launch: str = ""
    phase: str = ""
    told: str = ""
    ended: int = 0
    failed: int = 0


class FarmView:
    """A context manager, and the view of a night.

    It writes to a copy of standard error: while a model is built in another thread, the descriptor itself
    leads elsewhere.

    Args:
        cells: how many each device has.
    """

    def __init__(self, cells: Mapping[str, int]) -> None:
        self._devices = {name: _Device(count) for name, count in cells.items()}
        self._stream = progress_stream()
        self._console = Console(file=self._stream)
        self._begun = time.monotonic()
        self._ended = 0
        self._left = ""
        self._live = Live(
            console=self._console, get_renderable=self._table, refresh_per_second=1, transient=True
        )

    def __enter__(self) -> FarmView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self._stream.close()

    def tell(self, name: str, event: Mapping[str, Any]) -> None:
        """A device says something; called by its own thread, which is the only one to write these fields."""
        device = self._devices[name]
        if told := notice(event):
            if event.get("name") != "waiting" or device.told != told:
                self.note(f"{name}: {told}")
            device.told = told
        elif event.get("event") == "begin":
            device.launch, device.phase = str(event.get("what", "")), ""
        elif text := phase_text(event):
            device.phase = text

    def device(self, name: str, state: str, detail: str = "") -> None:
        """What a device does now."""
        device = self._devices[name]
        is_news = (device.state, device.detail) != (state, detail)
        device.state, device.detail = state, detail
        if is_news and state == "waiting":
            self._say(f"{name}: waiting, {detail}", quietly=True)

    def note(self, text: str) -> None:
        """Something that is to be known also where there is no terminal."""
        self._say(text)

    def more(self, name: str, cells: int) -> None:
        """A device has more to do than was known."""
        self._devices[name].cells += cells

    def found(self, row: Row) -> None:
        """A cell has its row, perhaps from before."""
        device = self._devices.get(row.cell.device)
        if device is None:  # it was in the plan when the run began, and is not any more
            return
        device.ended += 1
        device.failed += isinstance(row.outcome, Failed)
        self._ended += 1

    def row(self, row: Row) -> None:
        """A cell has ended."""
        self.found(row)
        cell, total = row.cell, sum(device.cells for device in self._devices.values())
        match row.outcome:
            case Failed(reason=reason):
                word = f"failed: {reason}"
            case Skipped(reason=reason):
                word = f"skipped: {reason}"
            case _:
                word = "measured"
        said = f"{cell.workload} {cell.recipe} {cell.runtime} on {cell.device}: {word}"
        self._say(f"[{self._ended}/{total}] {said}")

    def left(self, seconds: float | None, unknown: int) -> None:
        """How long the rest will take; where there is no table, it is told at the beginning."""
        is_first = not self._left
        if seconds is None:
            self._left = f"end unknown, cells that were never timed: {unknown}"
        else:
            end = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=seconds)
            self._left = f"ends about {end:%a %H:%M}"
        if is_first:
            self._say(self._left, quietly=True)

    def _say(self, text: str, *, quietly: bool = False) -> None:
        """``quietly``: the table shows it anyway."""
        if not (quietly and self._console.is_terminal):
            self._console.print(clean(text), markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("device", "cells", "failed", "", ""):
            table.add_column(title, no_wrap=True)
        for name, device in list(self._devices.items()):
            measuring = (device.launch or device.detail, device.phase)
            told = measuring if device.state == "measuring" else (device.detail,)
            detail = " · ".join(filter(None, told))
            table.add_row(
                name,
                f"{device.ended}/{device.cells}",
                str(device.failed or ""),
                Text(device.state, style=_STYLES.get(device.state, "")),
                Text(clean(detail, _DETAIL_CHARACTERS)),
            )
        elapsed = datetime.timedelta(seconds=round(time.monotonic() - self._begun))
        return Group(table, Text(f"{elapsed}, {self._left}", style="dim"))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
