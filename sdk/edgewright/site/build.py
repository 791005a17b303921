"""A site as a folder: written beside the old one, which it then takes the place of, whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgewright import __version__
from edgewright.errors import ConfigError
from edgewright.history.series import Judged
from edgewright.store import Store
from edgewright.store.bodies import find_row
from edgewright.store.nights import Ended
from edgewright.temporary import held_folder, remove_unless_held

from .book import Book, series_text
from .gather import gather
from .names import run_slug
from .pages import ASSETS, Notes, Renderer, asset
from .samples import least_bytes, samples_lines
from .snapshot import SeriesView

#: What tells a folder of ours from any other: its name, and what it begins with. The lines after the first
#: are the files that were written, so that nobody's own file beside them is taken for one.
MARKER, _OURS = ".edgewright-site", "edgewright site"
_BUILDING = ".building-"
#: What raw samples take in a site unless told otherwise: a model of microseconds has 100 MB of them a row.
SAMPLES_BYTES = 200 << 20
#: renameat2(2): names are relative to the current folder, and change places.
_HERE, _RENAME_EXCHANGE = -100, 2


@dataclass(frozen=True)
class Built:
    """What was written."""

    folder: Path
    files: int
    size_bytes: int
    series: int
    runs: int


def build_site(
    store: Store, folder: Path, *, threshold: float, sampled: int, samples_bytes: int = SAMPLES_BYTES
) -> Built:
    """Write the site of a store.

    Args:
        store: to read; figures that are missing are derived first.
        folder: which is made, or replaced when it is a site already.
        threshold: the relative difference that must be told.
        sampled: of so many of the newest runs the raw samples are written, too.
        samples_bytes: those of a row stay out when all together would take more.

    Raises:
        ConfigError: the folder is something else, or cannot be written.
        StoreError: the store cannot be read, or a row of it is damaged.
    """
    refuse_other(folder)
    folder = folder.expanduser().resolve()
    try:
        with _beside(folder) as building:
            writer = _Writer(building)
            series, runs = _write(store, writer, threshold, _Samples(store, writer, sampled, samples_bytes))
            head = f"{_OURS}, {__version__}, {datetime.now(UTC).isoformat(timespec='seconds')}"
            writer.text(MARKER, "\n".join([head, *writer.paths]) + "\n")
            _swap(building, folder)
    except OSError as error:
        raise ConfigError(f"{folder}: the site cannot be written: {error.strerror}") from error
    return Built(folder, len(writer.paths), writer.size_bytes, series, runs)


def refuse_other(folder: Path) -> None:
    """Refuse to replace what is no site of ours, or what somebody put into one.

    Raises:
        ConfigError: there is a file of that name, or a folder with something else in it.
    """
    try:
        folder = folder.expanduser().resolve()
        if not folder.exists():
            return
        if not folder.is_dir():
            raise ConfigError(f"{folder}: not a folder")
        marker = folder / MARKER
        written = _written(marker) if marker.is_file() and not marker.is_symlink() else None
        other = next(folder.iterdir(), None) if written is None else _foreign(folder, written)
        if other is not None:
            raise ConfigError(
                f"{folder}: {other.name!r} in it is no site of Edgewright's, so it is left as it is",
                mend="name a new folder",
            )
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:  # a link to itself, a home of nobody's, a NUL
        raise ConfigError(f"{folder}: no place for a folder: {error}") from error


def _written(marker: Path) -> frozenset[str] | None:
    """The files of a site of ours; none at all for one of a version that did not list them."""
    with marker.open("rb") as stream:
        if stream.read(len(_OURS)) != _OURS.encode():
            return None
        return frozenset(stream.read().decode("utf-8", "replace").splitlines()[1:])


def _foreign(folder: Path, written: frozenset[str]) -> Path | None:
    """A file within a site that the build did not write."""
    if not written:
        return None
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for path in (Path(parent, name) for name in (*names, *links)):
            if path.relative_to(folder).as_posix() not in written and path != folder / MARKER:
                return path
    return None


class _Writer:
    """Files below a folder, by paths that are made of our own names alone."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.paths: list[str] = []
        self.size_bytes = 0

    def text(self, path: str, text: str) -> None:
        """Write a file; each path is written once."""
        self.lines(path, (text,))

    def lines(self, path: str, lines: Iterable[str], most_bytes: float = math.inf) -> bool:
        """Write a file line by line; False, and it is not there, when it takes more than it may."""
        found, size_bytes = self._root / path, 0
        found.parent.mkdir(parents=True, exist_ok=True)
        with found.open("xb") as stream:
            for line in lines:
                size_bytes += stream.write(line.encode("utf-8"))
                if size_bytes > most_bytes:
                    break
        if size_bytes > most_bytes:
            found.unlink()
            return False
        self.paths.append(path)
        self.size_bytes += size_bytes
        return True


class _Samples:
    """Raw samples of the newest runs, as many as there is room for."""

    def __init__(self, store: Store, writer: _Writer, runs: int, room_bytes: int) -> None:
        self._store = store
        self._writer = writer
        self.runs = runs
        self._room_bytes = room_bytes

    def write(self, place: int, run: Ended) -> list[int]:
        """Those of a run, of which ``place`` were begun later; the numbers of the rows that have theirs."""
        slug, found = run_slug(run.run.run_id), []
        for position in range(run.rows if place < self.runs else 0):
            row = find_row(self._store, run.run.run_id, position)
            lines = samples_lines(row) if row is not None else None
            if row is None or lines is None or least_bytes(row) > self._room_bytes:
                continue
            before = self._writer.size_bytes
            if self._writer.lines(f"samples/{slug}/{position + 1}.csv", lines, self._room_bytes):
                self._room_bytes -= self._writer.size_bytes - before
                found.append(position + 1)
        return found


def _write(store: Store, writer: _Writer, threshold: float, samples: _Samples) -> tuple[int, int]:
    renderer = Renderer(Notes(datetime.now(UTC).isoformat(timespec="seconds")))

    def series(one: Judged, view: SeriesView) -> None:
        writer.text(f"series/{view.slug}.html", series_text(renderer, one, view))

    snapshot = gather(store, threshold, series)
    book = Book(store, snapshot, exact=samples.runs)
    for name in ASSETS:
        writer.text(name, asset(name))
    for name, text in book.fixed().items():
        writer.text(name, text)
    for workload in book.workloads:
        writer.text(f"matrix/{workload.slug}.html", book.workload(workload))
    for device in snapshot.devices:
        writer.text(f"devices/{device.slug}.html", book.device(device))
        writer.text(f"pareto/{device.slug}.html", book.pareto(device))
    for path, pair in book.compared.items():
        writer.text(path, book.exact(path, *pair))
    for place, run in enumerate(snapshot.runs):
        slug = run_slug(run.run.run_id)
        writer.text(f"runs/{slug}.html", book.run(run, samples=samples.write(place, run)))
        writer.text(f"data/runs/{slug}.js", book.run_data(run))
    return len(snapshot.series), len(snapshot.runs)


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder beside another, gone again unless it was moved; what killed builds left goes, too."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{_escaped(folder.name)}{_BUILDING}*"):
        remove_unless_held(left)
    with held_folder(folder.parent, f".{folder.name}{_BUILDING}") as made:
        made.chmod(0o755)
        yield made


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _swap(building: Path, folder: Path) -> None:
    """Put the new folder in place of the old one, which then has the new one's name and goes with it."""
    os.sync()
    refuse_other(folder)
    if not folder.exists():
        building.rename(folder)
    elif not _exchange(building, folder):
        old = building.with_name(f"{building.name}-old")
        folder.rename(old)
        try:
            building.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        old.rename(building)


def _exchange(a: Path, b: Path) -> bool:
    """Let two names change places in one step; False where system or file system cannot do that."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), str(b))
