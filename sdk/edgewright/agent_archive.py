"""The agent as one file that any Python can run, named by its SHA-256."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from .artifact import sha256_file
from .files import write_atomic

PACKAGE = "edgewright_agent"
_MAIN = f"import sys\n\nfrom {PACKAGE}.__main__ import main\n\nsys.exit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


@dataclass(frozen=True)
class AgentArchive:
    """The file on this host and the SHA-256 of its bytes in hexadecimal."""

    path: Path
    sha256: str


def agent_archive() -> AgentArchive:
    """The agent's archive in the user's cache, written there when it is new.

    Raises:
        EdgewrightError: the cache cannot be written.
    """
    content = build_archive()
    sha256 = hashlib.sha256(content).hexdigest()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "edgewright" / "agent" / f"{sha256}.pyz"
    if not path.is_file() or sha256_file(path) != sha256:
        write_atomic(path, content)
    return AgentArchive(path, sha256)


def build_archive() -> bytes:
    """The archive's bytes: the same for the same sources, wherever and whenever it is built."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        sources = dict(_sources(files(PACKAGE), PACKAGE))
        for name, content in sorted({**sources, "__main__.py": _MAIN.encode()}.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = _MODE
            archive.writestr(info, content)
    return buffer.getvalue()


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        name = f"{prefix}/{item.name}"
        if item.is_dir():
            yield from _sources(item, name)
        elif item.name.endswith(".py"):
            yield name, item.read_bytes()
