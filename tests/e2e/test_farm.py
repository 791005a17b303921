"""A farm of boards that fail, and a host that is killed: every cell ends in exactly one row."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.devices.hosts import Board, Host, Running, until
from tests.devices.netns import Lab
from tests.models import onnx_zoo

from edgewright.row import Measured
from edgewright.store import Store

MakeHost = Callable[[str], Host]

PLAN = """
[plan]
name = "night"
workloads = ["relu.onnx", "exp.onnx"]
devices = ["tag:bench"]
preset = "rapid"
scenario = "paced"
rate = 20
"""
#: Patience that a test has.
BRIEF = (
    "import functools, edgewright.nightly as n; n.Policy = functools.partial("
    "n.Policy, check_s=0.5, most_check_s=1.0, backoff_s=(0.5,), look_s=0.5)"
)
FARM = ("farm", "run", "plan.toml", "--junit", "junit.xml", "--markdown-summary", "summary.md")


@pytest.fixture
def boards(lab: Lab, tmp_path: Path) -> list[Board]:
    return [Board.plug_in(lab, tmp_path, f"board{number}") for number in range(4)]


@pytest.fixture
def make_host(make_lab_host: MakeHost, boards: list[Board]) -> MakeHost:
    def make(name: str) -> Host:
        host = make_lab_host(name)
        (host.folder / "farm.toml").write_text("\n".join(board.farm_toml() for board in boards))
        (host.folder / "plan.toml").write_text(PLAN)
        for operator in ("Relu", "Exp"):
            onnx_zoo.save(onnx_zoo.one_node(operator), host.folder / f"{operator.lower()}.onnx")
        return host

    return make


def measuring(running: Running, board: Board) -> None:
    def is_measuring() -> bool:
        assert running.process.poll() is None, running.end()
        return board.is_measuring()

    until(is_measuring, f"measuring on {board.name}")


def status(host: Host) -> dict[str, dict[str, object]]:
    answer = host("farm", "status", "--json")
    assert answer.code == 0, answer
    return {device["name"]: device for device in json.loads(answer.out)}


def check_rows(host: Host, boards: Sequence[Board]) -> None:
    """One run, and one measured row of each cell."""
    with Store.open(host.environment["EDGEWRIGHT_STORE"]) as store:
        (summary,) = store.list_runs()
        assert summary.run.finished_at
        rows = store.run(summary.run.run_id).rows
    cells = [(row.cell.device, row.cell.workload) for row in rows]
    assert sorted(cells) == [(b.name, m) for b in boards for m in ("exp.onnx", "relu.onnx")]
    assert all(isinstance(row.outcome, Measured) for row in rows), rows


@pytest.mark.long
def test_faults_and_a_host_that_is_killed(make_host: MakeHost, boards: list[Board]) -> None:
    host = make_host("ann")
    down, *others = random.Random(7).sample(boards, len(boards))
    down.node.sshd.stop()
    first = host.start(*FARM, launches=1, seconds=2, patch=BRIEF)
    measuring(first, others[0])
    until(lambda: f"{down.name}: quarantined: " in first.err, "a quarantine")
    first.kill()

    second = host.start(*FARM, launches=1, seconds=2, patch=BRIEF)
    until(lambda: "going on with run" in second.err, "the same run")
    killed, silent, lost = others
    for board, harm in (
        (silent, silent.node.cut),
        (killed, killed.node.sshd.kill_sessions),
        (lost, lambda: os.kill(lost.job_pid(), signal.SIGKILL)),
    ):
        if board.running:
            harm()
    time.sleep(2)
    silent.node.heal()
    down.node.sshd.start()
    answer = second.end(90)
    assert answer.code == 0, answer
    assert f"{down.name}: back from quarantine: the gold standard came out right" in answer.err
    check_rows(host, boards)
    suites = ElementTree.fromstring((host.folder / "junit.xml").read_bytes())
    assert (suites.get("tests"), suites.get("failures"), suites.get("errors")) == ("8", "0", "0")
    assert "## night: 8 measured" in (host.folder / "summary.md").read_text()
    told = status(host)
    assert all(device["lease"] is None and device["quarantine"] is None for device in told.values())
    health = told[down.name]["health"]
    assert isinstance(health, dict) and health["is_healthy"] is True
    for board in boards:
        until(board.is_clean, f"a clean {board.name}: {board.jobs} {board.processes()}", 20)
    assert host.left_over() == []


@pytest.mark.long
def test_two_farms_share_the_boards_and_ctrl_c_leaves_nothing(
    make_host: MakeHost, boards: list[Board]
) -> None:
    """The second waits for what the first has; interrupted, it is as if it had never been there."""
    ann, bob = make_host("ann"), make_host("bob")
    bob.environment["EDGEWRIGHT_STORE"] = ann.environment["EDGEWRIGHT_STORE"]
    first = ann.start(*FARM, launches=1, seconds=30, patch=BRIEF)
    for board in boards:
        measuring(first, board)
    second = bob.start(*FARM, launches=1, seconds=1, patch=BRIEF)
    until(lambda: second.err.count("waiting, held by ") == len(boards), "waiting for all boards")
    leases = [device["lease"] for device in status(ann).values() if device["name"] != "local"]
    assert all(isinstance(lease, dict) and lease["expires_in_s"] > 0 for lease in leases)
    begun = time.monotonic()
    first.interrupt()
    answer = first.end()
    assert answer.code == 130 and answer.err.splitlines()[-1] == "error: interrupted", answer
    assert time.monotonic() - begun < 25
    done = second.end()
    assert done.code == 0, done
    for board in boards:
        until(board.is_clean, f"a clean {board.name}: {board.jobs} {board.processes()}", 20)
    assert ann.left_over() == bob.left_over() == []
