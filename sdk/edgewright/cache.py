"""The cache of builds: files named by their SHA-256, and records that say which answer which request.

    objects/<sha256>.<ending>           model files, recorded inputs and outputs
    records/<request>/<sha256>.json     one build that answered the request, named by its own content
    checkpoints/<request>-<step>/       where a long step goes on after a kill

A request names what is asked; a record names what the workload had read when it was answered. The record
serves while all of that is unchanged and every file it names still has its SHA-256; a damaged one is
passed over, and the build that follows replaces it. Writers make files under temporary names and rename
them, so any number of processes may share a cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from .artifact import ExportParity, Quality, sha256_file
from .config import STRICT
from .dependencies import Dependency
from .files import replacing, write_atomic

VARIABLE = "EDGEWRIGHT_CACHE"

#: Records kept for one request; a workload that goes back and forth between two states finds both.
_KEPT = 8


def default_cache() -> Path:
    """``EDGEWRIGHT_CACHE``, else ``edgewright`` in the user's cache directory (XDG)."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "edgewright"


@dataclass(frozen=True, config=STRICT)
class Record:
    """One answered request.

    Attributes:
        workload: its name.
        files: what a file is for (``model``, ``inputs`` ...) -> its name in ``objects``.
        dependencies: what the workload had read.
        notes: what the steps and the exporter reported.
    """

    workload: str
    files: dict[str, str]
    dependencies: tuple[Dependency, ...]
    notes: tuple[str, ...] = ()
    parity: ExportParity | None = None
    quality: Quality | None = None
    schema: Literal[1] = field(default=1)


class Cache:
    """A cache in one folder, which is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self._records = root / "records"
        self.checkpoints = root / "checkpoints"

    def find(self, request: str) -> Record | None:
        """The newest record that answers ``request`` and still holds, or None."""
        for path in _newest_first(self._records / request):
            record = _read(path)
            if record is not None and self._holds(record):
                return record
        return None

    def path(self, record: Record, purpose: str) -> Path:
        """The file that ``record`` has for ``purpose``."""
        return self._objects / record.files[purpose]

    def put(self, source: Path) -> str:
        """Keep a copy of ``source`` under its SHA-256 and its own ending; the name in ``objects``."""
        name = sha256_file(source) + source.suffix
        kept = self._objects / name
        if not _intact(kept):
            with replacing(kept) as temporary:
                shutil.copyfile(source, temporary)
        return name

    def add(self, request: str, record: Record) -> None:
        """Have ``record`` answer ``request`` from now on; the oldest beyond a few are dropped."""
        content = TypeAdapter(Record).dump_json(record, indent=1)
        folder = self._records / request
        write_atomic(folder / f"{hashlib.sha256(content).hexdigest()}.json", content)
        for path in _newest_first(folder)[_KEPT:]:
            path.unlink(missing_ok=True)

    def _holds(self, record: Record) -> bool:
        return all(dependency.unchanged() for dependency in record.dependencies) and all(
            _intact(self._objects / name) for name in record.files.values()
        )


def _newest_first(folder: Path) -> list[Path]:
    found = []
    for path in folder.glob("[!.]*.json"):
        try:
            found.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue  # another process dropped it
    return [path for _, path in sorted(found, reverse=True)]


def _read(path: Path) -> Record | None:
    """The record, unless it is damaged or of another version."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.stem:
            return None
        return TypeAdapter(Record).validate_json(content)
    except (OSError, ValidationError):
        return None


def _intact(path: Path) -> bool:
    try:
        return sha256_file(path) == path.stem
    except OSError:
        return False
