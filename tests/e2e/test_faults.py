"""Links that break, servers that die, disks that are full and files that change: what a run makes of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.devices.delay import delayed
from tests.devices.hosts import Board, Host, Running, until
from tests.devices.limits import limited_memory
from tests.devices.netns import Lab
from tests.models import onnx_zoo

MakeHost = Callable[[str], Host]
CUT_S = 90.0
QUICK = ("--preset", "rapid", "--scenario", "paced", "--rate", "20", "--json", "report.json")
MIB = 1 << 20


@pytest.fixture
def board(lab: Lab, tmp_path: Path) -> Board:
    return Board.plug_in(lab, tmp_path)


@pytest.fixture
def host(make_lab_host: MakeHost, board: Board) -> Host:
    return furnished(make_lab_host("ann"), board)


def furnished(host: Host, *boards: Board) -> Host:
    """With a farm file and a model that takes next to no time."""
    (host.folder / "farm.toml").write_text("\n".join(board.farm_toml() for board in boards))
    onnx_zoo.save(onnx_zoo.one_node("Relu"), host.folder / "model.onnx")
    return host


def bench(board: Board, model: str = "model.onnx") -> tuple[str, ...]:
    return ("bench", model, "--device", board.name, *QUICK)


def large_model(path: Path, size_bytes: int) -> None:
    """``y = x + w``, its weights without any pattern, so that nothing makes it smaller on its way."""
    count = size_bytes // 4
    weight = np.random.default_rng(0).normal(size=(1, count)).astype(np.float32)
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    ends = [onnx_zoo.value(name, onnx.TensorProto.FLOAT, (1, count)) for name in "xy"]
    onnx_zoo.save(onnx_zoo.model([node], ends[:1], ends[1:], [onnx_zoo.constant("w", weight)]), path)


def greedy_model(path: Path, size_bytes: int) -> None:
    """A small file that takes much memory."""
    nodes = [
        onnx.helper.make_node("Expand", ["x", "shape"], ["large"]),
        onnx.helper.make_node("Exp", ["large"], ["larger"]),
        onnx.helper.make_node("ReduceSum", ["larger"], ["y"], keepdims=1),
    ]
    shape = onnx_zoo.constant("shape", np.asarray([1, size_bytes // 8], np.int64))
    ends = [onnx_zoo.value(name, onnx.TensorProto.FLOAT, (1, 1)) for name in "xy"]
    onnx_zoo.save(onnx_zoo.model(nodes, ends[:1], ends[1:], [shape]), path)


def measuring(board: Board, running: Running, launches: int = 1) -> None:
    """Wait until a worker is about to time inferences."""

    def is_measuring() -> bool:
        assert running.process.poll() is None, running.end()
        return len(board.started("worker")) == launches and board.is_measuring()

    until(is_measuring, "measuring")


def arriving(board: Board, running: Running, more_than: int) -> None:
    """Wait until that much of a file has arrived."""

    def has_arrived() -> bool:
        assert running.process.poll() is None, running.end()
        store = board.root / "store"
        return any(path.stat().st_size > more_than for path in store.glob("*.part*"))

    until(has_arrived, "a push that is under way")


def nothing_is_left(board: Board, host: Host, limit_s: float = 20.0) -> None:
    until(board.is_clean, f"a clean board, {board.jobs} and {board.processes()} are left", limit_s)
    assert host.left_over() == []


# --- the link --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_link_cut_for_90_seconds(lab: Lab, make_lab_host: MakeHost, tmp_path: Path) -> None:
    """During a push to one device and during a run on another, at the same time."""
    pushed_to, running_on = (Board.plug_in(lab, tmp_path, name, "256m") for name in ("slow", "busy"))
    host = furnished(make_lab_host("ann"), pushed_to, running_on)
    large_model(host.folder / "large.onnx", 12 * MIB)
    pushed_to.node.rate("16mbit")
    push = host.start(*bench(pushed_to, "large.onnx")[:-1], "push.json", launches=1)
    run = host.start(*bench(running_on), launches=2, seconds=20)
    arriving(pushed_to, push, MIB)
    pushed_to.node.cut()
    measuring(running_on, run)
    running_on.node.cut()
    time.sleep(CUT_S)
    for board in (pushed_to, running_on):
        board.node.heal()
    for running, board in ((push, pushed_to), (run, running_on)):
        answer = running.end(120)
        assert answer.code == 0, answer
        broken, again = answer.err.splitlines()
        assert broken.startswith(f"{board.name}: the device does not answer any more"), answer.err
        assert "trying to connect again for 10 minutes" in broken
        assert again.startswith(f"{board.name}: connected again after ")
        nothing_is_left(board, host, 60)
    (row,) = host.rows()
    assert row["outcome"] == "measured" and row["notes"] == []
    assert len(running_on.started("worker")) == 2
    for launch in row["launches"]:
        assert launch["latency_count"] == len(launch["latency_ns"]) > 100
    (row,) = host.rows("push.json")
    assert row["outcome"] == "measured"


@pytest.mark.long
def test_a_link_that_loses_a_tenth_of_all_packets(host: Host, board: Board) -> None:
    """And is slow besides."""
    large_model(host.folder / "large.onnx", 2 * MIB)
    board.node.lose(10)
    board.node.rate("16mbit")
    answer = host.start(*bench(board, "large.onnx"), launches=2).end(180)
    assert answer.code == 0, answer
    (row,) = host.rows()
    assert row["outcome"] == "measured" and len(row["launches"]) == 2
    nothing_is_left(board, host)


@pytest.mark.long
def test_a_far_link_that_is_slow(host: Host, board: Board) -> None:
    """80 ms each way and 16 Mbit/s: nothing is given up for it, and no time of the link is in a latency."""
    large_model(host.folder / "large.onnx", 2 * MIB)
    board.node.rate("16mbit")
    with delayed(board.node, 80):
        answer = host.start(*bench(board, "large.onnx"), launches=2).end(180)
        assert answer.code == 0, answer
        nothing_is_left(board, host, 60)
    (row,) = host.rows()
    assert row["outcome"] == "measured" and len(row["launches"]) == 2 and row["notes"] == []
    assert row["latency_ms"]["min"] < 80


# --- the server ------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_server_that_dies_and_one_that_restarts(host: Host, board: Board) -> None:
    running = host.start(*bench(board), launches=2, seconds=16)
    measuring(board, running)
    board.node.sshd.kill_sessions()
    until(lambda: "connected again" in running.err, "another connection")
    measuring(board, running)
    board.node.sshd.stop()
    until(lambda: running.err.count("the connection broke") == 2, "a broken connection")
    board.node.sshd.start()
    answer = running.end()
    assert answer.code == 0, answer
    assert answer.err.count("connected again after") == 2 == len(answer.err.splitlines()) / 2
    (row,) = host.rows()
    assert len(row["launches"]) == 2 == len(board.started("worker")) and row["notes"] == []
    nothing_is_left(board, host)


# --- the disk --------------------------------------------------------------------------------------------


@contextmanager
def filled(board: Board, leave_bytes: int = 0) -> Iterator[None]:
    """The disk is full but for so many bytes, to the last page."""
    stuffing = board.node.disk / "stuffing"
    space = os.statvfs(board.node.disk)
    with stuffing.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, space.f_bavail * space.f_frsize - leave_bytes)
    yield
    stuffing.unlink()


def test_a_disk_that_is_full_before_the_push(host: Host, board: Board) -> None:
    large_model(host.folder / "large.onnx", 2 * MIB)
    assert host("device", "probe", board.name, "--json").code == 0  # the agent is there
    with filled(board, 64 << 10):
        answer = host(*bench(board, "large.onnx"))
        assert not list((board.root / "store").iterdir())
    assert answer.code == 1 and answer.err.count("\n") == 1, answer
    assert answer.err.startswith("error: board: ") and "free" in answer.err and "to push" in answer.err
    (row,) = host.rows()
    assert row["error_code"] == "disk-full"
    nothing_is_left(board, host)


@pytest.mark.long
def test_a_disk_that_fills_up_during_the_push(host: Host, board: Board) -> None:
    large_model(host.folder / "large.onnx", 12 * MIB)
    board.node.rate("16mbit")
    running = host.start(*bench(board, "large.onnx"))
    arriving(board, running, MIB)
    with filled(board):
        answer = running.end()
    assert answer.code == 1 and answer.err.count("\n") == 1, answer
    assert "no space" in answer.err.lower()
    assert host.rows()[0]["error_code"] == "disk-full"
    nothing_is_left(board, host)
    board.node.rate("1gbit")
    assert host(*bench(board, "large.onnx")).code == 0


@pytest.mark.long
def test_a_disk_that_fills_up_while_the_job_runs(host: Host, board: Board) -> None:
    """The agent can still say so, and the next cell is measured."""
    running = host.start(*bench(board), launches=1, seconds=3)
    measuring(board, running)
    with filled(board):
        answer = running.end()
    assert answer.code == 1 and answer.err.count("\n") == 1, answer
    (row,) = host.rows()
    assert row["error_code"] == "disk-full" and "the device's disk was full" in row["reason"]
    nothing_is_left(board, host)
    assert host(*bench(board)).code == 0


# --- memory ----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_worker_over_its_memory_limit(host: Host, board: Board) -> None:
    answer = host(*bench(board), "--memory-limit", "24M")
    assert answer.code == 1, answer
    (row,) = host.rows()
    assert row["error_code"] == "out-of-memory" and f"exceeded the limit of {24 * MIB}" in row["reason"]
    nothing_is_left(board, host)
    assert host(*bench(board), "--memory-limit", "2G").code == 0


@pytest.mark.long
def test_a_device_without_enough_memory(host: Host, board: Board) -> None:
    """The kernel ends the worker; the agent lives to tell, and the device is as usable as before."""
    greedy_model(host.folder / "greedy.onnx", 512 * MIB)
    with limited_memory(board.node, 192 * MIB):
        answer = host(*bench(board, "greedy.onnx"))
        assert answer.code == 1, answer
        (row,) = host.rows()
        assert row["error_code"] == "out-of-memory" and "killer" in row["reason"], row
        nothing_is_left(board, host)
        assert host(*bench(board)).code == 0


# --- the files -------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_model_that_is_altered_on_the_device(host: Host, board: Board) -> None:
    assert host(*bench(board), launches=1).code == 0
    size = (host.folder / "model.onnx").stat().st_size
    (stored,) = [path for path in (board.root / "store").iterdir() if path.stat().st_size == size]
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused = host(*bench(board), launches=1)
    assert refused.code == 1 and refused.err.count("\n") == 1, refused
    assert "altered on the device since it was pushed" in refused.err
    assert len(board.started("worker")) == 1  # it was not loaded
    again = host(*bench(board), launches=1)
    assert again.code == 0, again
    assert stored.read_bytes() == whole
    nothing_is_left(board, host)
