"""What ``tune`` and ``transfer`` share: what is seen on the way, what is printed and written at the end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console

from edgewright.boundary import progress_stream
from edgewright.errors import UnsupportedError
from edgewright.farm.group import Watcher
from edgewright.files import write_atomic
from edgewright.report.plain import render_json
from edgewright.report.study.terminal import print_study
from edgewright.report.text import clean
from edgewright.row import Cell, Row
from edgewright.tune.answer import Answer, answer_of, study_document
from edgewright.tune.output import check_folder, write_folder
from edgewright.tune.question import Question
from edgewright.tune.study import Ended, Means, is_finished, run_study

from .launch import Output
from .phases import notice


class Shown(Watcher):
    """Lines on standard error, also while libraries have it taken from them; several devices may speak."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._status = self._console.status("") if self._console.is_terminal else None
        self._lock = threading.Lock()
        self._device = ""
        if self._status:
            self._status.start()

    def close(self) -> None:
        """Nothing more is shown."""
        if self._status:
            self._status.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            self._console.print(clean(text, 600), markup=False, highlight=False, soft_wrap=True)

    def building(self, stage: str) -> None:
        """A build goes on; shown where there is a terminal, until something else is."""
        self._update(f"building · {stage}")

    def _update(self, text: str) -> None:
        with self._lock:
            if self._status:
                self._status.update(clean(text))

    def expect(self, steps: int) -> None:
        """The number of steps is not shown."""

    def begin(self, cell: Cell, what: str) -> None:
        """See :class:`edgewright.farm.group.Watcher`."""
        self._device = cell.device
        self._update(f"{cell.device} · {cell.recipe} in {cell.runtime} · {what}")

    def event(self, event: Mapping[str, Any]) -> None:
        """What a person has to know of is a line."""
        told = notice(event)
        if told:
            self.say(f"{self._device}: {told}")

    def done(self) -> None:
        """See :class:`edgewright.farm.group.Watcher`."""

    def row(self, row: Row) -> None:
        """Trials are told by the search."""


@contextmanager
def progress() -> Iterator[Shown]:
    """What is shown until the block ends."""
    with progress_stream() as stream:
        shown = Shown(stream)
        try:
            yield shown
        finally:
            shown.close()


@dataclass(frozen=True)
class Outputs:
    """The files asked for."""

    html: Path | None
    json: Path | None
    folder: Path | None

    def check(self) -> None:
        """Refuse what cannot be written before anything is measured."""
        Output(
            None, {name: path for name, path in (("html", self.html), ("json", self.json)) if path}
        ).check()
        if self.folder is not None:
            check_folder(self.folder)

    def write(self, answer: Answer) -> None:
        """Write them, and say where they are."""
        document = study_document(answer)
        if self.html is not None:
            from edgewright.report.study.page import render_page

            write_atomic(self.html, render_page(document).encode())
        if self.json is not None:
            write_atomic(self.json, render_json(document).encode())
        written = [path for path in (self.html, self.json) if path]
        if self.folder is not None:
            written += write_folder(answer, document, self.folder)
        for path in written:
            click.echo(f"written: {path}")


def finish(
    study_id: str, question: Question, means: Means, outputs: Outputs, *, is_resumed: bool, beside: str = ""
) -> int:
    """Do the study, print its answer and write the files; the exit code.

    Args:
        beside: a study whose devices are shown too.
    """
    has_ended = is_resumed and is_finished(means.store, study_id, question)
    ended = Ended(study_id, {}) if has_ended else run_study(study_id, question, means, is_resumed=is_resumed)
    answer = answer_of(means.store, study_id, *filter(None, [beside]))
    print_study(study_document(answer), sys.stdout)
    outputs.write(answer)
    click.echo(f"study: {study_id}")
    for name, error in ended.errors.items():
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        if not isinstance(error, UnsupportedError):
            click.echo(f"{name}: edgewright tune --resume {study_id} goes on", err=True)
    has_answers = all(one.choice.best for one in answer.devices)
    return 0 if has_answers and not ended.errors else 1
