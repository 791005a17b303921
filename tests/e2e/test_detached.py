"""Runs that outlive their host, their link and their agent: nothing lost, nothing twice, nothing left."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.devices.hosts import Board, Host, Running, until
from tests.devices.netns import Lab
from tests.models import onnx_zoo

from edgewright.store import Store

MakeHost = Callable[..., Host]

#: Most of the time it sleeps, so that the tests of a whole farm can wait for it at once.
BENCH = (
    "bench",
    "model.onnx",
    "--device",
    "board",
    "--preset",
    "rapid",
    "--scenario",
    "paced",
    "--rate",
    "20",
)
REPORT = (*BENCH, "--json", "report.json")
LABEL = "model.onnx as-is onnxruntime, launch 1"


@pytest.fixture
def board(lab: Lab, tmp_path: Path) -> Board:
    return Board.plug_in(lab, tmp_path)


@pytest.fixture
def make_host(make_lab_host: MakeHost, board: Board) -> MakeHost:
    """Hosts that know the board and have a model."""

    def make(name: str = "ann") -> Host:
        host = make_lab_host(name)
        (host.folder / "farm.toml").write_text(board.farm_toml())
        onnx_zoo.save(onnx_zoo.one_node("Relu"), host.folder / "model.onnx")
        return host

    return make


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    return make_host()


def measuring(board: Board, running: Running, launches: int = 1) -> None:
    """Wait until a worker is about to time inferences, the last of so many."""

    def is_measuring() -> bool:
        assert running.process.poll() is None, running.end()
        return len(board.started("worker")) == launches and board.is_measuring()

    until(is_measuring, "measuring")


def nothing_is_left(board: Board, *hosts: Host) -> None:
    until(board.is_clean, f"a clean board, {board.jobs} and {board.processes()} are left", 20)
    for host in hosts:
        assert host.left_over() == []


def runs(host: Host) -> int:
    """How many runs its store has."""
    with Store.open(host.environment["EDGEWRIGHT_STORE"]) as store:
        return len(store.list_runs())


def kill_while_measuring(host: Host, board: Board, seconds: float) -> None:
    running = host.start(*REPORT, launches=1, seconds=seconds)
    measuring(board, running)
    running.kill()


# --- the host dies ---------------------------------------------------------------------------------------


def test_a_host_that_is_killed_goes_on_with_its_run(host: Host, board: Board) -> None:
    running = host.start(*REPORT, launches=3, seconds=6)
    measuring(board, running, 2)
    running.kill()
    until(lambda: all((job / "outcome.json").exists() for job in board.jobs), "the end of the launch")
    assert len(board.jobs) == 2
    again = host(*REPORT, launches=3, seconds=6)
    assert again.code == 0, again
    assert "going on with run" in again.err and "--fresh begins a new one" in again.err
    assert len(board.started("worker")) == 3
    (row,) = host.rows()
    assert row["outcome"] == "measured" and len(row["launches"]) == 3 and row["notes"] == []
    assert runs(host) == 1
    nothing_is_left(board, host)


@pytest.mark.long
@pytest.mark.parametrize("moment", ["edgewright.store.Store.add_row", "edgewright.device.Device.acknowledge"])
def test_killed_around_the_row(host: Host, board: Board, moment: str) -> None:
    """Between the last result and its row, and between the row and the device's being told so."""
    module, kind, name = moment.rsplit(".", 2)
    patch = f"import os; from {module} import {kind}; {kind}.{name} = lambda *_: os.kill(os.getpid(), 9)"
    killed = host.start(*REPORT, patch=patch)
    assert killed.process.wait(60) == -signal.SIGKILL
    assert len(board.jobs) == 2
    again = host(*REPORT)
    assert again.code == 0 and "going on with run" in again.err, again
    assert len(board.started("worker")) == 2
    (row,) = host.rows()
    assert row["outcome"] == "measured" and len(row["launches"]) == 2
    nothing_is_left(board, host)


@pytest.mark.long
def test_fresh_begins_a_new_run_and_ends_what_the_old_one_left(host: Host, board: Board) -> None:
    kill_while_measuring(host, board, 60)
    begun = time.monotonic()
    again = host(*REPORT, "--fresh", launches=1)
    assert again.code == 0 and again.err == "", again
    assert time.monotonic() - begun < 45
    assert len(board.started("worker")) == 2
    assert runs(host) == 2 and len(host.rows()) == 1
    nothing_is_left(board, host)


@pytest.mark.long
def test_ctrl_c_ends_the_job_too(host: Host, board: Board) -> None:
    running = host.start(*REPORT, launches=2, seconds=60)
    measuring(board, running)
    begun = time.monotonic()
    running.interrupt()
    answer = running.end()
    assert time.monotonic() - begun < 15
    assert answer.code == 130 and answer.err.strip() == "error: interrupted", answer
    nothing_is_left(board, host)


@pytest.mark.long
def test_attach_takes_up_what_a_killed_host_left(host: Host, board: Board) -> None:
    assert "no job runs" in host("device", "attach", "board").out
    kill_while_measuring(host, board, 6)
    taken = host("device", "attach", "board", "--json", "jobs.json")
    assert taken.code == 0, taken
    assert "measuring" in taken.err
    assert (
        f"{LABEL}, for ann@" in taken.out and ": running" in taken.out and "its result is here" in taken.out
    )
    (told,) = json.loads((host.folder / "jobs.json").read_text())
    assert told["label"] == LABEL and told["result"]["timing"]["latency_ns"] and len(board.jobs) == 1
    again = host("device", "attach", "board", "--forget")
    assert again.code == 0 and ": finished" in again.out and again.err == "", again
    nothing_is_left(board, host)


# --- the agent dies --------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_follower_that_is_killed_follows_again(host: Host, board: Board) -> None:
    running = host.start(*REPORT, launches=1, seconds=4)
    measuring(board, running)
    os.kill(board.started("submit")[-1], signal.SIGKILL)
    answer = running.end()
    assert answer.code == 0 and answer.err == "", answer
    assert len(board.started("worker")) == 1 and len(board.started("submit")) == 2
    assert host.rows()[0]["notes"] == []
    nothing_is_left(board, host)


@pytest.mark.long
def test_an_agent_that_is_killed_once_begins_again(host: Host, board: Board) -> None:
    running = host.start(*REPORT, launches=1, seconds=3)
    measuring(board, running)
    os.kill(board.job_pid(), signal.SIGKILL)
    answer = running.end()
    assert answer.code == 0, answer
    (row,) = host.rows()
    assert row["notes"] == ["launch 1 was begun again: the agent was killed while the job ran"]
    assert len(board.started("worker")) == 2 and len(row["launches"]) == 1
    nothing_is_left(board, host)


@pytest.mark.long
def test_an_agent_that_is_killed_twice_is_a_failed_row(host: Host, board: Board) -> None:
    """And the next cell is measured."""
    onnx_zoo.save(onnx_zoo.one_node("Exp"), host.folder / "other.onnx")
    (host.folder / "plan.toml").write_text(
        '[plan]\nname = "two"\nworkloads = ["model.onnx", "other.onnx"]\nrecipes = ["fp32"]\n'
        'devices = ["board"]\nruntimes = ["onnxruntime"]\npreset = "rapid"\nscenario = "paced"\nrate = 20\n'
    )
    running = host.start("run", "plan.toml", "--json", "report.json", launches=1, seconds=3)
    for number in (1, 2):
        measuring(board, running, number)
        os.kill(board.job_pid(), signal.SIGKILL)
    answer = running.end()
    assert answer.code == 1, answer
    lost, measured = host.rows()
    assert (lost["outcome"], lost["error_code"]) == ("failed", "lost") and "killed" in lost["reason"]
    assert measured["outcome"] == "measured" and measured["notes"] == []
    assert len(board.started("worker")) == 3
    nothing_is_left(board, host)


# --- somebody else is there ------------------------------------------------------------------------------


@pytest.mark.long
def test_two_hosts_take_turns(host: Host, make_host: MakeHost, board: Board) -> None:
    """The same command of the same host, while the first lives, is a run of its own as well."""
    other = make_host("bob")
    first = host.start(*REPORT, launches=1, seconds=16)
    measuring(board, first)
    second = host.start(*BENCH, "--json", "second.json", launches=1)
    impatient = other.start(*BENCH, "--wait", "0", "--json", "none.json", launches=1)
    third = other.start(*REPORT, launches=1)
    refused = impatient.end()
    assert refused.code == 1, refused
    (row,) = other.rows("none.json")
    assert row["error_code"] == "busy" and "the device is still held by ann@" in row["reason"]
    assert LABEL in row["reason"]
    assert first.process.poll() is None
    ends = [running.end() for running in (first, second, third)]
    assert [answer.code for answer in ends] == [0, 0, 0], ends
    assert ends[0].err == ""
    for answer in ends[1:]:
        assert answer.err.startswith("board: waiting, the device is held by ann@") and LABEL in answer.err
    measured = [host.rows()[0], host.rows("second.json")[0], other.rows()[0]]
    assert [row["outcome"] for row in measured] == ["measured"] * 3
    assert len(board.started("worker")) == 3
    assert runs(host) == 2
    nothing_is_left(board, host, other)


@pytest.mark.long
def test_what_another_version_left_is_in_nobody_s_way(host: Host, board: Board) -> None:
    foreign = board.root / "jobs" / "from-another-version"
    foreign.mkdir(parents=True)
    (foreign / "request.json").write_text('{"job": {"kind": "of another version"}}')
    (foreign / "outcome.json").write_text('{"event": "verdict", "what": 7}')
    old = board.root / "agent" / f"{'0' * 64}.pyz"
    old.parent.mkdir()
    old.write_bytes(b"an agent of long ago")
    answer = host(*REPORT, launches=1)
    assert answer.code == 0 and answer.err == "", answer
    assert board.jobs == [foreign] and old.exists()
    taken = host("device", "attach", "board", "--forget")
    assert "a job of another version of the agent" in taken.out, taken
    assert taken.code == 1 and "Traceback" not in taken.out
    nothing_is_left(board, host)
