"""A governor that is set for a run on a real device over SSH, and set back whatever becomes of the run."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.devices import boards
from tests.devices.hosts import Board, Host, Running, until
from tests.devices.netns import Lab
from tests.models import onnx_zoo

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
BENCH = (
    *("bench", "model.onnx", "--device", "board", "--preset", "rapid", "--scenario", "paced", "--rate", "20"),
    *("--json", "report.json"),
)
SET = ("--set-governor", "performance")


class Pi:
    """A device of a lab whose ``/sys`` is a Raspberry Pi's, with a governor that can be set."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.tree = boards.raspberry_pi_5(folder / "pi")
        self.board = Board.plug_in(lab, folder)
        sshd = self.board.node.sshd
        sshd.stop()
        mounted = ("sh", "-c", 'mount --bind "$0" /sys && exec "$@"', str(self.tree.root / "sys"))
        sshd.place = replace(sshd.place, prefix=(*sshd.place.prefix, *mounted))
        sshd.start()

    @property
    def governor(self) -> str:
        return (self.tree.root / GOVERNOR).read_text().strip()

    @property
    def is_noted(self) -> bool:
        return (self.board.root / "conditions" / "record.json").exists()

    def measuring(self, running: Running) -> None:
        """Wait until inferences are about to be timed."""

        def is_measuring() -> bool:
            assert running.process.poll() is None, running.end()
            return self.board.is_measuring()

        until(is_measuring, "measuring")

    def watchdog(self) -> int:
        return self.board.started("watchdog")[-1]


@pytest.fixture
def pi(lab: Lab, tmp_path: Path) -> Pi:
    return Pi(lab, tmp_path)


@pytest.fixture
def host(make_lab_host: object, pi: Pi) -> Host:
    made: Host = make_lab_host("ann")  # type: ignore[operator]
    (made.folder / "farm.toml").write_text(pi.board.farm_toml())
    onnx_zoo.save(onnx_zoo.one_node("Relu"), made.folder / "model.onnx")
    return made


@pytest.mark.long
def test_it_is_held_for_the_run_and_the_report_says_so(pi: Pi, host: Host) -> None:
    running = host.start(*BENCH, *SET, "--cool-to", "70C", seconds=1)
    pi.measuring(running)
    assert (pi.governor, pi.is_noted) == ("performance", True)
    answer = running.end()
    assert answer.code == 0, answer
    assert (pi.governor, pi.is_noted) == ("schedutil", False)
    (row,) = host.rows()
    assert [launch["states"][0]["governor"] for launch in row["launches"]] == [{"cpu0": "performance"}] * 2
    assert (
        "governor of cpu0: set from schedutil to performance for each launch, and set back after it"
        in row["notes"]
    )
    assert any(
        note.startswith("cooled to 70 °C (cpu-thermal) before 2 of 2 launches") for note in row["notes"]
    )
    until(pi.board.is_clean, "a clean board")
    assert host("device", "clean", "board").code == 0
    assert list(pi.board.node.disk.iterdir()) == []


@pytest.mark.long
def test_it_is_set_back_when_the_host_is_gone(pi: Pi, host: Host) -> None:
    running = host.start(*BENCH, *SET, launches=1, seconds=2)
    pi.measuring(running)
    running.kill()
    assert pi.governor == "performance"
    until(lambda: all((job / "outcome.json").exists() for job in pi.board.jobs), "the end of the job")
    assert (pi.governor, pi.is_noted) == ("schedutil", False)
    assert host(*BENCH, *SET, launches=1, seconds=2).code == 0
    assert len(pi.board.started("worker")) == 1


@pytest.mark.long
def test_it_is_set_back_when_the_link_is_cut(pi: Pi, host: Host) -> None:
    running = host.start(*BENCH, *SET, launches=1, seconds=2)
    pi.measuring(running)
    pi.board.node.cut()
    assert pi.governor == "performance"
    until(lambda: pi.governor == "schedutil" and not pi.is_noted, "the governor of before")
    pi.board.node.heal()
    assert running.end(200).code == 0
    assert len(pi.board.started("worker")) == 1


def test_the_watchdog_sets_it_back_when_the_job_is_killed(pi: Pi, host: Host) -> None:
    running = host.start(*BENCH, *SET, launches=1, seconds=5)
    pi.measuring(running)
    running.kill()
    os.kill(pi.board.job_pid(), signal.SIGKILL)
    until(lambda: pi.governor == "schedutil" and not pi.is_noted, "the governor of before")
    until(lambda: not pi.board.processes(), "an end of all processes")


def test_the_next_command_sets_it_back_when_the_watchdog_is_killed_too(pi: Pi, host: Host) -> None:
    running = host.start(*BENCH, *SET, launches=1, seconds=5)
    pi.measuring(running)
    running.kill()
    os.kill(pi.watchdog(), signal.SIGKILL)
    os.kill(pi.board.job_pid(), signal.SIGKILL)
    until(lambda: not pi.board.processes(), "an end of all processes")
    assert (pi.governor, pi.is_noted) == ("performance", True)
    cleaned = host("device", "clean", "board")
    assert cleaned.code == 0, cleaned
    assert pi.governor == "schedutil"
    assert list(pi.board.node.disk.iterdir()) == []


@pytest.mark.long
def test_a_job_that_is_lost_is_run_again_under_the_same_conditions(pi: Pi, host: Host) -> None:
    running = host.start(*BENCH, *SET, launches=1, seconds=2)
    pi.measuring(running)
    os.kill(pi.board.job_pid(), signal.SIGKILL)
    answer = running.end()
    assert answer.code == 0, answer
    (row,) = host.rows()
    assert row["launches"][0]["states"][0]["governor"] == {"cpu0": "performance"}
    assert (pi.governor, pi.is_noted) == ("schedutil", False)


def test_what_cannot_be_set_fails_the_row_in_one_line(pi: Pi, host: Host) -> None:
    answer = host(*BENCH, "--set-governor", "performence")
    assert answer.code == 1
    assert "no governor is called 'performence' on the device (did you mean 'performance'?)" in answer.err
    answer = host(*BENCH, "--power-mode", "25W")
    assert answer.code == 1 and "neither nvpmodel nor a platform profile" in answer.err
    (row,) = host.rows()
    assert (row["outcome"], row["error_code"]) == ("failed", "conditions-refused")
    assert pi.board.started("worker") == []
    assert pi.governor == "schedutil"


def test_a_plan_sets_them_too(pi: Pi, host: Host) -> None:
    plan = '[plan]\nname = "p"\nworkloads = ["model.onnx"]\ndevices = ["board"]\npreset = "rapid"\n'
    (host.folder / "plan.toml").write_text(plan + 'set_governor = "powersave"\n')
    assert host("run", "plan.toml", "--json", "report.json", launches=1).code == 0
    (row,) = host.rows()
    assert row["launches"][0]["states"][0]["governor"] == {"cpu0": "powersave"}
    assert pi.governor == "schedutil"
