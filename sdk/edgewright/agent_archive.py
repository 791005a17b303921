"""The agent as one file that any Python can run, named by its SHA-256."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import tokenize
import zipfile
from collections.abc import Iterator, Mapping
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

    Making it takes half a second, so a note beside it says which sources it was made of.

    Raises:
        EdgewrightError: the cache cannot be written.
    """
    sources = dict(_sources(files(PACKAGE), PACKAGE))
    made_of = hashlib.sha256(b"\0".join(f"{name}\0{text}".encode() for name, text in sorted(sources.items())))
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "edgewright" / "agent"
    note = folder / f"{made_of.hexdigest()}.made"
    if note.is_file():
        sha256 = note.read_text(encoding="ascii", errors="replace").strip()
        path = folder / f"{sha256}.pyz"
        if path.is_file() and sha256_file(path) == sha256:
            return AgentArchive(path, sha256)
    content = build_archive(sources)
    sha256 = hashlib.sha256(content).hexdigest()
    write_atomic(folder / f"{sha256}.pyz", content)
    write_atomic(note, sha256.encode())
    return AgentArchive(folder / f"{sha256}.pyz", sha256)


def build_archive(sources: Mapping[str, str] | None = None) -> bytes:
    """The archive's bytes: the same for the same sources, wherever and whenever it is built."""
    found = dict(_sources(files(PACKAGE), PACKAGE)) if sources is None else sources
    modules = {"__main__.py": _MAIN, **{name: lean(text) for name, text in found.items()}}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(modules.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = _MODE
            archive.writestr(info, content.encode())
    return buffer.getvalue()


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for item in folder.iterdir():
        name = f"{prefix}/{item.name}"
        if item.is_dir():
            yield from _sources(item, name)
        elif item.name.endswith(".py"):
            yield name, item.read_text(encoding="utf-8")


def lean(source: str) -> str:
    """A module without docstrings and comments, every statement on the line it was on.

    It is what a board stores and a slow link carries; a traceback's lines are still those of the source.
    """
    lines = source.splitlines(keepends=True)
    cuts: list[tuple[int, int, int, int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if first and is_text and isinstance(first.value.value, str):  # type: ignore[attr-defined]
                assert first.end_lineno and first.end_col_offset
                place = (first.lineno, first.col_offset, first.end_lineno, first.end_col_offset)
                cuts.append((*place, '""'))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            before = len(token.line[: token.start[1]].encode())
            cuts.append((token.start[0], before, token.end[0], before + len(token.string.encode()), ""))
    for begin, at, end, until, instead in sorted(cuts, reverse=True):
        head, tail = lines[begin - 1].encode()[:at], lines[end - 1].encode()[until:]
        kept = (head + instead.encode() + tail).decode().rstrip() + "\n"
        lines[begin - 1 : end] = [kept, *["\n"] * (end - begin)]
    return "".join(lines)
