from __future__ import annotations

import ast
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgewright.agent_archive import agent_archive, build_archive, lean

MAX_BYTES = 150_000


def test_the_same_sources_give_the_same_bytes() -> None:
    assert build_archive() == build_archive()


AGENT = Path(__file__).resolve().parents[2] / "agent"


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value.value = ""
    return tree


@pytest.mark.parametrize("path", sorted(AGENT.rglob("*.py")), ids=lambda path: path.stem)
def test_leaving_out_the_words_leaves_the_code(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    kept = ast.parse(lean(source))
    assert ast.dump(kept) == ast.dump(without_docstrings(ast.parse(source)))
    lines = [
        [node.lineno for node in ast.walk(tree) if hasattr(node, "lineno")]
        for tree in (kept, ast.parse(source))
    ]
    assert lines[0] == lines[1]
    assert "#" not in lean("x = 1  # a comment\n") and lean("x = '#'\n") == "x = '#'\n"


def test_it_is_small_and_has_only_sources() -> None:
    content = build_archive()
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert len(content) < MAX_BYTES
    assert "__main__.py" in names
    assert "edgewright_agent/__main__.py" in names
    assert "edgewright_agent/runtimes/onnx.py" in names
    assert names == sorted(names)
    assert all(name.endswith(".py") for name in names)


def test_it_is_cached_by_its_hash_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    archive = agent_archive()
    assert archive.path.name == f"{archive.sha256}.pyz"
    assert hashlib.sha256(archive.path.read_bytes()).hexdigest() == archive.sha256
    written = archive.path.stat().st_mtime_ns
    assert agent_archive() == archive
    assert archive.path.stat().st_mtime_ns == written
    archive.path.write_bytes(b"damaged")
    assert agent_archive() == archive
    assert hashlib.sha256(archive.path.read_bytes()).hexdigest() == archive.sha256


def test_it_runs_by_itself(tmp_path: Path) -> None:
    """Outside the checkout, with nothing on the path that could stand in for what is inside."""
    path = tmp_path / "agent.pyz"
    path.write_bytes(build_archive())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, "-S", str(path), "--root", str(tmp_path / "root"), "clean"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert '"event":"hello"' in done.stdout.splitlines()[0]
