"""What a workload was made from: every file and folder its code read while it was being watched.

A cached build is good while all of these are as they were, so they are recorded as they are opened,
through Python's audit events, and compared by SHA-256 later without importing or running anything.

Not seen: what C code opens by itself, what another process reads, environment variables and the
network. Files of installed packages count when they are data (weights, photographs); their code, like
the standard library's, is covered by the versions that a build's key holds.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
import site
import stat
import sys
import sysconfig
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from .artifact import sha256_file

_CODE = (".py", ".pyc", ".pyi", ".so")
_SYSTEM = ("/proc", "/sys", "/dev")
#: Looks through the folders of ``sys.path`` for modules and packages, which says nothing of the workload.
_IMPORT_MACHINERY = ("<frozen importlib", importlib.__path__[0])
_ABSENT = ""
#: Read, and changed while it was in use: never again the same.
_UNSTABLE = "changed while it was read"


@dataclass(frozen=True)
class Dependency:
    """One path and what it held: a file's SHA-256, the hash of a folder's names, or nothing if absent."""

    path: str
    sha256: str
    folder: bool = False

    def unchanged(self) -> bool:
        """Whether the path holds now what it held then."""
        return _digest(Path(self.path), self.folder) == self.sha256


class Recorder:
    """Collects what is read inside :meth:`watching`, but for what threads read that ran before it began."""

    def __init__(self) -> None:
        self._stamps: dict[tuple[str, bool], tuple[int, int]] = {}
        self._strangers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record from here to the end of the block; modules of the user's that are loaded by then count."""
        _install()
        self._strangers = weakref.WeakSet(threading.enumerate())
        self._strangers.discard(threading.current_thread())
        _ACTIVE.append(self)
        try:
            yield
        finally:
            _ACTIVE.remove(self)
            for name in local_modules():
                self.add(str(sys.modules[name].__file__))

    def add(self, path: str, *, folder: bool = False) -> None:
        """Note ``path``, unless it is Python's or a package's code, or the system's."""
        full = _absolute(path)
        key = (full, folder)
        if key in self._stamps or _is_foreign(full, folder):
            return
        self._stamps[key] = _stamp(full)

    def dependencies(self) -> tuple[Dependency, ...]:
        """All that was read, sorted by path. A file that has changed since it was opened never matches."""
        found = []
        for (path, folder), stamp in sorted(self._stamps.items()):
            digest = _digest(Path(path), folder) if folder or _stamp(path) == stamp else _UNSTABLE
            found.append(Dependency(path, digest, folder))
        return tuple(found)

    def note_read(self, path: object, *, folder: bool) -> None:
        """A thread opens something; an open descriptor is not a path."""
        if isinstance(path, str | bytes | os.PathLike) and threading.current_thread() not in self._strangers:
            self.add(os.fsdecode(path), folder=folder)


def local_modules() -> tuple[str, ...]:
    """Names of the loaded modules whose source is the user's own: not Python's, a package's or ours."""
    names = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if (
            isinstance(path, str)
            and path.endswith(".py")
            and Path(path).is_absolute()
            and not _is_foreign(path, False)
        ):
            names.append(name)
    return tuple(names)


_ACTIVE: list[Recorder] = []
_INSTALLED = threading.Event()


def _install() -> None:
    """Audit hooks cannot be taken out again, so there is one, and it returns at once when idle."""
    if not _INSTALLED.is_set():
        _INSTALLED.set()
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _ACTIVE:
        return
    if event == "open":
        path, _mode, flags = args
        if flags & os.O_ACCMODE == os.O_RDONLY:
            for recorder in tuple(_ACTIVE):
                recorder.note_read(path, folder=False)
    elif event in ("os.listdir", "os.scandir") and not _is_import_machinery(sys._getframe(1)):
        for recorder in tuple(_ACTIVE):
            recorder.note_read(args[0] if args[0] is not None else ".", folder=True)


def _is_import_machinery(caller: FrameType) -> bool:
    return caller.f_code.co_filename.startswith(_IMPORT_MACHINERY)


def _roots() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Folders whose code is not the user's, and those of them that hold installed packages."""
    paths = sysconfig.get_paths()
    packages = {paths["purelib"], paths["platlib"], site.getusersitepackages(), *site.getsitepackages()}
    ours = [str(Path(__file__).parent), str(Path(sys.modules["edgewright_agent"].__file__ or "").parent)]
    python = [paths["stdlib"], paths["platstdlib"], paths["scripts"], sys.base_prefix + "/lib"]
    return tuple(map(_absolute, [*python, *packages, *ours])), tuple(map(_absolute, packages))


def _absolute(path: str) -> str:
    """Without following links: what the user named is what is looked at again."""
    return os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps ".."


_FOREIGN, _PACKAGES = _roots()


@functools.lru_cache(maxsize=100_000)
def _is_foreign(path: str, folder: bool) -> bool:
    inside = [root for root in _FOREIGN if path == root or path.startswith(root + os.sep)]
    if inside:
        # Only data of installed packages counts; the standard library and Edgewright have versions.
        data = any(root in _PACKAGES for root in inside) and not folder and not path.endswith(_CODE)
        return not data or ".dist-info" + os.sep in path
    return path.startswith(_SYSTEM) or path.endswith(".pyc") or f"{os.sep}__pycache__" in path


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError:
        return (-1, -1)
    return (status.st_mtime_ns, status.st_size)


def _digest(path: Path, folder: bool) -> str:
    try:
        if folder:
            names = sorted(entry.name for entry in path.iterdir() if entry.name != "__pycache__")
            return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        if not stat.S_ISREG(path.stat().st_mode):
            return _ABSENT
        return sha256_file(path)
    except OSError:
        return _ABSENT
