"""The commit of the user's project: told by the build that runs it, or by git, or not known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgewright.farm.project import project_commit


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_repository_tells_its_commit_and_whether_files_differ(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert project_commit(tmp_path, {}) == ""
    (tmp_path / "model.py").write_text("1")
    git(tmp_path, "add", "model.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "notes").write_text("of nobody's concern")
    assert project_commit(tmp_path, {}) == head
    (tmp_path / "model.py").write_text("2")
    assert project_commit(tmp_path, {}) == f"{head}+"


@pytest.mark.parametrize("name", ["EDGEWRIGHT_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"])
def test_a_build_tells_it(tmp_path: Path, name: str) -> None:
    assert project_commit(tmp_path, {name: "v1.2-3-gabc"}) == "v1.2-3-gabc"
    assert project_commit(tmp_path / "gone", {name: "x\n<b>"}) == ""
    assert project_commit(tmp_path / "gone", {name: "x" * 200}) == ""
