"""What this host has pushed and still has: files that a device may hold, and others may be made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.cache import default_cache
from edgewright.files import write_atomic
from edgewright_agent.protocol import WireError, decode, encode

_MAX_FILES = 256
_MAX_CHARACTERS = 1 << 20

#: A base is looked for among files of this many times the size, or this part of it.
_MOST_TIMES = 4
_BASES = 4

#: A smaller file is sent sooner than it is compared.
SMALLEST_BYTES = 1 << 16


@dataclass(frozen=True)
class PushedFile:
    """A file as it was when it was pushed; where it is unchanged, it still has that SHA-256."""

    sha256: str
    path: str
    size_bytes: int
    mtime_ns: int

    def is_there(self) -> bool:
        """Whether it is, and unchanged."""
        try:
            found = Path(self.path).stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size_bytes, self.mtime_ns)


class PushedFiles:
    """The record, the last pushed first. It is a hint: a device verifies whatever is made with it."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or default_cache() / "pushed.json"
        self._files = self._read()

    def bases(self, local: Path, size_bytes: int) -> list[PushedFile]:
        """The files that ``local`` may resemble: of its kind, and of about its size."""
        if size_bytes < SMALLEST_BYTES:
            return []
        alike = (
            file
            for file in self._files
            if Path(file.path).suffix == local.suffix
            and size_bytes / _MOST_TIMES <= file.size_bytes <= size_bytes * _MOST_TIMES
        )
        nearest = sorted(alike, key=lambda file: abs(file.size_bytes - size_bytes))
        return [file for file in nearest[: 4 * _BASES] if file.is_there()][:_BASES]

    def remember(self, files: Mapping[str, Path]) -> None:
        """These are on some device now."""
        known = {file.sha256: file for file in self._files}
        found = list(_described(files))
        if all(known.get(file.sha256) == file for file in found):
            return
        fresh = {file.sha256 for file in found}
        kept = [file for file in self._files if file.sha256 not in fresh]
        self._files = (found + kept)[:_MAX_FILES]
        write_atomic(self._path, json.dumps(encode(tuple(self._files)), indent=1).encode())

    def _read(self) -> list[PushedFile]:
        try:
            with self._path.open(encoding="utf-8") as stream:
                return list(decode(tuple[PushedFile, ...], json.loads(stream.read(_MAX_CHARACTERS))))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, WireError):
            return []  # damaged, or another version's: it fills again


def _described(files: Mapping[str, Path]) -> Iterable[PushedFile]:
    for sha256, path in files.items():
        found = path.stat()
        if found.st_size >= SMALLEST_BYTES:
            yield PushedFile(sha256, str(path.resolve()), found.st_size, found.st_mtime_ns)
