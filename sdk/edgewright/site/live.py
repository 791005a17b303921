"""Answers to a browser, from the store as it is now."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from edgewright.errors import ConfigError, StoreError
from edgewright.history.series import judge
from edgewright.store import Store
from edgewright.store.bodies import find_row
from edgewright.store.nights import newest_row
from edgewright.store.points import histories

from .book import Book
from .exact import MOST_COMPARED, is_small
from .gather import gather
from .judging import QUANTITY, Known
from .names import SLUG
from .pages import ASSETS, asset
from .samples import samples_lines

HTML, SCRIPT, STYLE, CSV, JSON = (
    "text/html; charset=utf-8",
    "text/javascript; charset=utf-8",
    "text/css; charset=utf-8",
    "text/csv; charset=utf-8",
    "application/json",
)
#: What is shown is that old at least before the store is read again, and so many times as long as that takes.
_LEAST_AGE_S, _AGES = 15.0, 20.0


@dataclass(frozen=True)
class Answer:
    """What a request is answered with.

    Attributes:
        file: the name under which a browser saves it.
        lines: in place of a body, made while they are sent, since they may be too much to hold.
    """

    body: bytes
    kind: str = HTML
    status: int = 200
    file: str = ""
    lines: Iterator[str] | None = None


@dataclass(frozen=True)
class _Shown:
    """A book with its fixed pages, when it was made, and how long that took."""

    book: Book
    fixed: Mapping[str, str] = field(repr=False)
    at: float
    took_s: float

    @property
    def is_old(self) -> bool:
        """Whether the store may be read again."""
        return time.monotonic() - self.at > max(_LEAST_AGE_S, _AGES * self.took_s)


class Live:
    """A site from a store that grows; used by several threads at a time.

    Making one reads the whole store.

    Raises:
        StoreError: the store cannot be read, or a row of it is damaged.
    """

    def __init__(self, store: Store, threshold: float) -> None:
        self._store = store
        self._threshold = threshold
        self._known = Known()
        self._reading = threading.Lock()
        self._comparing = threading.Lock()
        self._shown = self._read()
        self._routes: tuple[tuple[re.Pattern[str], Callable[..., Answer | None]], ...] = tuple(
            (re.compile(pattern), answer)
            for pattern, answer in (
                (rf"matrix/({SLUG})\.html", self._workload),
                (rf"devices/({SLUG})\.html", self._device),
                (rf"pareto/({SLUG})\.html", self._pareto),
                (rf"series/({SLUG})\.html", self._series),
                (rf"runs/({SLUG})\.html", self._run),
                (rf"data/runs/({SLUG})\.js", self._run_data),
                (rf"samples/({SLUG})/([0-9]{{1,9}})\.csv", self._samples),
            )
        )

    def answer(self, path: str, query: Mapping[str, str]) -> Answer | None:
        """What is at a path, without its first slash; None where there is nothing.

        Raises:
            StoreError: the store cannot be read.
        """
        path = path or "index.html"
        if path in ASSETS:
            return Answer(asset(path).encode(), STYLE if path.endswith(".css") else SCRIPT)
        if path == "newest":
            is_newer = self._shown.is_old and newest_row(self._store) != self._shown.book.snapshot.newest_row
            return Answer(json.dumps({"is_newer": is_newer}).encode(), JSON)
        self._refresh()
        shown = self._shown
        if path in shown.fixed:
            return Answer(shown.fixed[path].encode(), SCRIPT if path.endswith(".js") else HTML)
        if path == "exact.html":
            return self._exact(shown.book, query.get("a", ""), query.get("b", ""))
        for pattern, found in self._routes:
            if match_ := pattern.fullmatch(path):
                return found(shown.book, *match_.groups())
        return None

    def _read(self) -> _Shown:
        begun = time.monotonic()
        book = Book(self._store, gather(self._store, self._threshold, known=self._known), is_live=True)
        fixed = book.fixed()
        return _Shown(book, fixed, time.monotonic(), time.monotonic() - begun)

    def _refresh(self) -> None:
        """Read the store again when that is due: whoever asks first waits for it, others see the old."""
        if not self._shown.is_old or not self._reading.acquire(blocking=False):
            return
        try:
            if self._shown.is_old:
                self._shown = self._read()
        finally:
            self._reading.release()

    def _workload(self, book: Book, slug: str) -> Answer | None:
        return _page(book.workload, next((one for one in book.workloads if one.slug == slug), None))

    def _device(self, book: Book, slug: str) -> Answer | None:
        return _page(book.device, next((one for one in book.snapshot.devices if one.slug == slug), None))

    def _pareto(self, book: Book, slug: str) -> Answer | None:
        return _page(book.pareto, next((one for one in book.snapshot.devices if one.slug == slug), None))

    def _series(self, book: Book, slug: str) -> Answer | None:
        view = next((one for one in book.snapshot.series if one.slug == slug), None)
        if view is None:
            return None
        found = next(histories(self._store, series_ids=[view.document.series.id]), None)
        if found is None:
            return None
        return Answer(book.series(judge(found, QUANTITY, threshold=self._threshold), view).encode())

    def _run(self, book: Book, slug: str) -> Answer | None:
        run = book.snapshot.run(slug)
        return None if run is None else Answer(book.run(run, samples=None).encode())

    def _run_data(self, book: Book, slug: str) -> Answer | None:
        run = book.snapshot.run(slug)
        return None if run is None else Answer(book.run_data(run).encode(), SCRIPT)

    def _samples(self, book: Book, slug: str, number: str) -> Answer | None:
        run = book.snapshot.run(slug)
        row = None if run is None else find_row(self._store, run.run.run_id, int(number) - 1)
        lines = None if row is None else samples_lines(row)
        return None if lines is None else Answer(b"", CSV, file=f"{slug}-{number}.csv", lines=lines)

    def _exact(self, book: Book, a: str, b: str) -> Answer | None:
        runs = book.snapshot.run(a), book.snapshot.run(b)
        if runs[0] is None or runs[1] is None:
            return None
        if not is_small(runs[0], runs[1]):
            reason = f"more than {MOST_COMPARED} rows are compared in a terminal"
            raise ConfigError(reason, mend=f"edgewright compare {runs[0].run.run_id} {runs[1].run.run_id}")
        with self._comparing:
            return Answer(book.exact("exact.html", runs[0], runs[1]).encode())


def _page(make: Callable[..., str], one: object | None) -> Answer | None:
    return None if one is None else Answer(make(one).encode())


def refusal(error: ConfigError | StoreError) -> Answer:
    """An error as an answer of one line."""
    status = 503 if isinstance(error, StoreError) else 422
    return Answer(f"{error}\n".encode(), "text/plain; charset=utf-8", status)
