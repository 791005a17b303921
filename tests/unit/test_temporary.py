"""Folders for temporary files: gone after their block, and those of killed processes with the next one."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewright import temporary
from edgewright.temporary import work_folder

_HOLDS = """
import sys
from edgewright.temporary import work_folder
with work_folder("build") as folder:
    (folder / "model.onnx").write_bytes(b"half")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, also those of commands."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process, and the folder in which it works."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.communicate()


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_a_folder_is_gone_after_the_block_whatever_happens_in_it(place: Path) -> None:
    with work_folder("build") as folder:
        (folder / "file").touch()
        assert folder.parent == place and "build" in folder.name
    with pytest.raises(ZeroDivisionError), work_folder("build"):
        raise ZeroDivisionError
    assert names(place) == []


def test_what_a_killed_process_left_goes_with_the_next(
    place: Path, other: tuple[subprocess.Popen[str], Path]
) -> None:
    process, left = other
    process.kill()
    process.wait()
    assert (left / "model.onnx").exists()
    with work_folder("build") as folder:
        assert names(place) == [folder.name]


def test_a_folder_in_which_a_process_works_stays(
    place: Path, other: tuple[subprocess.Popen[str], Path]
) -> None:
    process, theirs = other
    with work_folder("build") as folder:
        assert names(place) == sorted([folder.name, theirs.name])
        assert (theirs / "model.onnx").read_bytes() == b"half"
    process.communicate("")
    assert process.returncode == 0 and names(place) == []


def test_what_another_user_left_and_what_is_no_folder_stays(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (place / "edgewright-held-link").symlink_to(elsewhere)
    (place / "edgewright-held-file").touch()
    (place / "edgewright-held-theirs").mkdir()
    (place / "edgewright-build-of-an-earlier-version").mkdir()
    before, me = names(place), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with work_folder("build"):
        pass
    assert names(place) == before
    monkeypatch.setattr(os, "geteuid", lambda: me)
    temporary._remove_left.cache_clear()
    with work_folder("build"):
        pass
    assert sorted(set(before) - set(names(place))) == ["edgewright-held-theirs"]


def test_a_folder_that_was_taken_for_left_before_it_was_held_is_made_anew(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    taken: list[list[str]] = []

    def late(handle: int, how: int) -> None:
        if not taken:
            taken.append(names(place))
            (place / taken[0][0]).rmdir()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with work_folder("build") as folder:
        assert names(place) == [folder.name] != taken[0]


def test_many_at_once_do_not_take_each_other_for_left(place: Path) -> None:
    lost = []

    def work() -> None:
        for _ in range(50):
            temporary._remove_left.cache_clear()
            with work_folder("build") as folder:
                (folder / "file").touch()
                lost.extend([] if (folder / "file").exists() else [folder])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == [] and names(place) == []
