"""What is set for a job is set back after it: by the job, by its watchdog, or by the next command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.devices import boards, require, require_command, tree

from edgewright_agent.conditions import Held, cooling, held, knobs, privilege, record, restore, take_back
from edgewright_agent.failure import AgentFailure
from edgewright_agent.protocol import Conditions, Setting
from edgewright_agent.sensors import commands

LIMIT_S = 30.0
GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
ZONE = "sys/class/thermal/thermal_zone0/temp"
PERFORMANCE = Conditions(governor="performance")
MODE = Conditions(power_mode="25W")


def ignore(event: dict[str, Any]) -> None:
    """Nobody listens."""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


class Place:
    """A board whose governor and modes are files, and an agent's folder."""

    def __init__(self, board: boards.Board, folder: Path) -> None:
        self.board = board
        self.tree = str(board.root)
        self.root = str(folder / "agent")
        Path(self.root).mkdir()

    def text(self, path: str) -> str:
        return (self.board.root / path).read_text().strip()

    @property
    def governor(self) -> str:
        return self.text(GOVERNOR)

    @property
    def mode(self) -> tuple[str, str]:
        return self.text("run/nvpmodel/id"), self.text("run/nvpmodel/clocks")

    @property
    def noted(self) -> bool:
        return record.is_there(self.root)

    def hold(self, wanted: Conditions, during: Callable[[Held], None] = lambda held: None) -> Held:
        with held(wanted, self.root, ignore, self.tree) as kept:
            during(kept)
        assert not self.noted
        return kept

    def refused(self, wanted: Conditions) -> tuple[str, str]:
        with (
            pytest.raises(AgentFailure) as caught,
            held(wanted, self.root, ignore, self.tree),
        ):
            pytest.fail("it was not refused")
        assert caught.value.error.code == "conditions-refused"
        assert not self.noted
        return caught.value.error.message, caught.value.error.mend


@pytest.fixture
def pi(tmp_path: Path) -> Place:
    return Place(boards.raspberry_pi_5(tmp_path / "pi"), tmp_path)


@pytest.fixture
def jetson(tmp_path: Path) -> Place:
    return Place(boards.settable_orin_nano(tmp_path / "jetson"), tmp_path)


class TestGovernor:
    def test_it_is_held_and_set_back_and_told(self, pi: Place) -> None:
        seen: list[str] = []
        kept = pi.hold(PERFORMANCE, lambda _: seen.append(pi.governor))
        assert (seen, pi.governor) == (["performance"], "schedutil")
        told = kept.told()
        assert told and told.settings == (Setting("governor of cpu0", "schedutil", "performance"),)

    def test_nothing_asked_for_touches_nothing(self, pi: Place) -> None:
        before = sorted(Path(pi.root).iterdir())
        assert pi.hold(Conditions()).told() is None
        assert sorted(Path(pi.root).iterdir()) == before == []

    def test_what_is_so_already_is_told_too(self, pi: Place) -> None:
        told = pi.hold(Conditions(governor="schedutil")).told()
        assert told and told.settings == (Setting("governor of cpu0", "schedutil", "schedutil"),)

    def test_every_cluster_has_its_own(self, pi: Place) -> None:
        for number, name in ((4, "ondemand"), (10, "powersave")):
            tree.put(pi.board.root, GOVERNOR.replace("policy0", f"policy{number}"), name)
        told = pi.hold(PERFORMANCE).told()
        assert told
        assert [(one.what, one.before) for one in told.settings] == [
            ("governor of cpu0", "schedutil"),
            ("governor of cpu4", "ondemand"),
            ("governor of cpu10", "powersave"),
        ]
        assert pi.text(GOVERNOR.replace("policy0", "policy10")) == "powersave"

    def test_a_failed_job_leaves_it_as_it_was(self, pi: Place) -> None:
        with (
            pytest.raises(ZeroDivisionError),
            held(PERFORMANCE, pi.root, ignore, pi.tree),
        ):
            raise ZeroDivisionError
        assert (pi.governor, pi.noted) == ("schedutil", False)

    def test_what_somebody_else_set_meanwhile_is_theirs(self, pi: Place) -> None:
        kept = pi.hold(PERFORMANCE, lambda _: pi.board.put(GOVERNOR, "powersave"))
        assert pi.governor == "powersave"
        told = kept.told()
        assert told and "somebody else has set it to powersave" in told.settings[0].problem

    def test_an_unknown_one_gets_the_nearest(self, pi: Place) -> None:
        message, mend = pi.refused(Conditions(governor="performence"))
        assert "'performence'" in message and mend == "did you mean 'performance'?"

    def test_a_device_without_any_says_so(self, tmp_path: Path) -> None:
        place = Place(boards.laptop(tmp_path / "laptop"), tmp_path)
        message, mend = place.refused(PERFORMANCE)
        assert "no frequency governor" in message and "--set-governor" in mend

    def test_what_a_driver_does_not_take_is_noticed(self, pi: Place) -> None:
        """The kernel answers a write with success and stays as it was."""
        path = pi.board.root / GOVERNOR
        path.unlink()
        path.symlink_to("/dev/null")
        message, _ = pi.refused(PERFORMANCE)
        assert "governor of cpu0 stays as it was when it is set to performance" in message

    def test_half_of_it_is_undone_when_the_rest_is_refused(self, pi: Place) -> None:
        path = pi.board.root / GOVERNOR.replace("policy0", "policy4")
        path.parent.mkdir()
        path.symlink_to("/dev/null")
        pi.refused(PERFORMANCE)
        assert pi.governor == "schedutil"


class TestPowerMode:
    def test_mode_and_clocks_are_held_and_set_back(self, jetson: Place) -> None:
        seen: list[tuple[str, str]] = []
        kept = jetson.hold(MODE, lambda _: seen.append(jetson.mode))
        assert (seen, jetson.mode) == ([("1", "highest")], ("2", "as they please"))
        told = kept.told()
        assert told and told.settings == (
            Setting("power mode", "MAXN_SUPER", "25W"),
            Setting("clocks", "as they were", "the highest of the mode"),
        )
        assert [path.name for path in (Path(jetson.root) / "conditions").iterdir()] == ["lock"]

    def test_the_clocks_are_set_back_before_the_mode(self, jetson: Place) -> None:
        jetson.hold(MODE)
        asked = jetson.text("run/nvpmodel/asked").splitlines()
        changes = [line.split()[:2] for line in asked if not line.startswith(("-q", "-p"))]
        assert changes == [
            ["-m", "1"],
            ["clocks", "--store"],
            ["clocks"],
            ["clocks", "--restore"],
            ["-m", "2"],
        ]

    def test_the_mode_that_is_set_has_its_clocks_held(self, jetson: Place) -> None:
        seen: list[tuple[str, str]] = []
        jetson.hold(Conditions(power_mode="MAXN_SUPER"), lambda _: seen.append(jetson.mode))
        assert (seen, jetson.mode) == ([("2", "highest")], ("2", "as they please"))
        assert "-m" not in jetson.text("run/nvpmodel/asked")

    def test_without_jetson_clocks_that_is_noted(self, jetson: Place) -> None:
        (jetson.board.root / "usr/bin/jetson_clocks").unlink()
        told = jetson.hold(MODE).told()
        assert told and "no jetson_clocks" in told.notes[0]

    def test_with_a_governor_everything_comes_back(self, jetson: Place) -> None:
        seen: list[tuple[object, str]] = []
        wanted = Conditions(governor="performance", power_mode="15W")
        jetson.hold(wanted, lambda _: seen.append((jetson.mode, jetson.governor)))
        assert seen == [(("0", "highest"), "performance")]
        assert (jetson.mode, jetson.governor) == (("2", "as they please"), "schedutil")

    def test_a_refused_governor_sets_the_mode_back(self, jetson: Place) -> None:
        jetson.refused(Conditions(governor="no", power_mode="15W"))
        assert jetson.mode == ("2", "as they please")

    def test_a_mode_that_needs_a_restart_is_refused(self, jetson: Place) -> None:
        message, mend = jetson.refused(Conditions(power_mode="SLOW"))
        assert "power mode stays as it was when it is set to SLOW" in message and "Reboot required" in message
        assert "restart" in mend
        assert jetson.mode == ("2", "as they please")

    @pytest.mark.parametrize(
        "name, mend", [("25w", "did you mean '25W'?"), ("MAXN", "did you mean 'MAXN_SUPER'?")]
    )
    def test_an_unknown_one_gets_the_nearest(self, name: str, mend: str, jetson: Place) -> None:
        assert jetson.refused(Conditions(power_mode=name))[1] == mend

    def test_the_configuration_names_the_modes_where_nvpmodel_does_not(self, jetson: Place) -> None:
        program = jetson.board.root / "usr/bin/nvpmodel"
        program.write_text(program.read_text().replace("-p)", "-P)"))
        message, _ = jetson.refused(MODE)
        assert "does not tell which power modes" in message
        conf = "# < POWER_MODEL ID=7 NAME=OLD >\n< POWER_MODEL ID=1 NAME=25W >\nCPU_ONLINE CORE_0 1\n"
        tree.put(jetson.board.root, "etc/nvpmodel.conf", conf)
        jetson.hold(MODE)

    def test_a_platform_profile_is_a_power_mode(self, tmp_path: Path) -> None:
        place = Place(boards.laptop(tmp_path / "laptop"), tmp_path)
        profile = "sys/firmware/acpi/platform_profile"
        assert "no power mode to set" in place.refused(Conditions(power_mode="quiet"))[0]
        place.board.put(profile, "balanced")
        place.board.put(profile + "_choices", "low-power balanced performance")
        seen: list[str] = []
        place.hold(Conditions(power_mode="performance"), lambda _: seen.append(place.text(profile)))
        assert (seen, place.text(profile)) == (["performance"], "balanced")


#: Holds conditions and says so, then waits to be killed.
_HOLDER = """
import json, sys, time
from edgewright_agent.conditions import held
from edgewright_agent.protocol import Conditions, decode
wanted = decode(Conditions, json.loads(sys.argv[1]))
with held(wanted, sys.argv[2], lambda event: None, sys.argv[3]):
    print("held", flush=True)
    time.sleep(600)
"""


class Holder:
    """Another process that holds conditions until it is killed."""

    def __init__(self, place: Place, **wanted: str) -> None:
        words = [sys.executable, "-c", _HOLDER, json.dumps(wanted), place.root, place.tree]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "held\n"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        (self.watchdog,) = map(int, children.split())

    def end(self, number: int = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait(LIMIT_S)
        assert self._process.stdout
        self._process.stdout.close()

    def end_watchdog(self) -> None:
        os.kill(self.watchdog, signal.SIGKILL)
        until(lambda: not _runs(self.watchdog))


def _runs(pid: int) -> bool:
    """Whether the process lives: a dead one may wait for its parent to notice."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    holders: list[Holder] = []

    def make(place: Place, **wanted: str) -> Holder:
        holders.append(Holder(place, **wanted))
        return holders[-1]

    yield make
    for holder in holders:
        with suppress(ProcessLookupError):
            holder.end()
        until(lambda pid=holder.watchdog: not _runs(pid))  # type: ignore[misc]


class TestKilled:
    def test_the_watchdog_sets_back_what_a_killed_job_held(
        self, pi: Place, hold: Callable[..., Holder]
    ) -> None:
        holder = hold(pi, governor="performance")
        assert (pi.governor, pi.noted) == ("performance", True)
        holder.end(signal.SIGKILL)
        until(lambda: pi.governor == "schedutil" and not pi.noted)
        until(lambda: not _runs(holder.watchdog))

    def test_also_modes_and_clocks(self, jetson: Place, hold: Callable[..., Holder]) -> None:
        holder = hold(jetson, governor="performance", power_mode="15W")
        assert jetson.mode == ("0", "highest")
        holder.end(signal.SIGKILL)
        until(lambda: not jetson.noted)
        assert (jetson.mode, jetson.governor) == (("2", "as they please"), "schedutil")

    def test_what_ends_a_session_leaves_the_watchdog_alone(
        self, pi: Place, hold: Callable[..., Holder]
    ) -> None:
        holder = hold(pi, governor="performance")
        assert os.getsid(holder.watchdog) == holder.watchdog
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(holder.watchdog, number)
        assert pi.governor == "performance"
        holder.end(signal.SIGKILL)
        until(lambda: pi.governor == "schedutil")

    def test_the_next_command_sets_back_when_both_were_killed(
        self, pi: Place, hold: Callable[..., Holder]
    ) -> None:
        holder = hold(pi, governor="performance")
        holder.end_watchdog()
        holder.end(signal.SIGKILL)
        assert (pi.governor, pi.noted) == ("performance", True)
        answer = agent(pi, "jobs")
        assert answer[-1]["event"] == "jobs"
        assert (pi.governor, pi.noted) == ("schedutil", False)

    def test_a_command_meanwhile_leaves_it_alone(self, pi: Place, hold: Callable[..., Holder]) -> None:
        hold(pi, governor="performance")
        agent(pi, "jobs")
        assert (pi.governor, pi.noted) == ("performance", True)

    def test_a_job_whose_watchdog_was_killed_sets_back_itself(self, pi: Place) -> None:
        def kill(_: Held) -> None:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            watchdogs = [
                int(pid) for pid in children if b"watchdog" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            assert len(watchdogs) == 1
            os.kill(watchdogs[0], signal.SIGKILL)

        pi.hold(PERFORMANCE, kill)
        assert pi.governor == "schedutil"

    def test_the_next_job_waits_for_the_watchdog_of_the_one_before(
        self, jetson: Place, hold: Callable[..., Holder]
    ) -> None:
        program = jetson.board.root / "usr/bin/jetson_clocks"
        program.write_text(program.read_text().replace("--restore)", "--restore) sleep 1;"))
        holder = hold(jetson, power_mode="15W")
        holder.end(signal.SIGKILL)
        seen: list[tuple[str, str]] = []
        jetson.hold(Conditions(), lambda _: seen.append(jetson.mode))
        assert seen == [("2", "as they please")]

    def test_after_a_restart_a_governor_is_let_be_and_a_mode_set_back(
        self, jetson: Place, hold: Callable[..., Holder]
    ) -> None:
        holder = hold(jetson, governor="performance", power_mode="15W")
        holder.end_watchdog()
        holder.end(signal.SIGKILL)
        path = Path(jetson.root) / "conditions" / "record.json"
        noted = json.loads(path.read_text())
        path.write_text(json.dumps({**noted, "boot_id": "another"}))
        jetson.board.put(GOVERNOR, "ondemand")
        assert take_back(jetson.root) == {}
        assert jetson.governor == "ondemand"
        assert jetson.mode == ("2", "highest")  # the clocks of the new start are nobody's but its own
        assert [one.name for one in path.parent.iterdir()] == ["lock"]

    def test_what_cannot_be_set_back_stays_noted_and_is_told_to_the_next_job(
        self, pi: Place, hold: Callable[..., Holder]
    ) -> None:
        holder = hold(pi, governor="performance")
        path = pi.board.root / GOVERNOR
        kept = path.rename(path.with_name("kept"))
        holder.end(signal.SIGKILL)
        until(lambda: not _runs(holder.watchdog))
        assert pi.noted
        with held(Conditions(), pi.root, ignore, pi.tree) as next_one:
            pass
        told = next_one.told()
        assert told and told.notes[0].startswith("left by an earlier job: governor of cpu0 was not set back")
        with pytest.raises(AgentFailure, match="governor of cpu0 was not set back"):
            restore.clear(pi.root)
        kept.rename(path)
        seen: list[str] = []
        pi.hold(Conditions(governor="powersave"), lambda _: seen.append(pi.governor))
        assert (seen, pi.governor) == (["powersave"], "schedutil")

    def test_a_note_that_cannot_be_read_is_said_once(self, pi: Place) -> None:
        folder = Path(pi.root) / "conditions"
        folder.mkdir()
        for content in ("", "{", "[]", '{"boot_id": 1}'):
            (folder / "record.json").write_text(content)
            assert "could not be read" in take_back(pi.root)["something"]
            assert take_back(pi.root) == {}

    def test_nothing_is_changed_when_the_note_cannot_be_written(self, pi: Place) -> None:
        (Path(pi.root) / "conditions" / "record.json.tmp").mkdir(parents=True)
        with pytest.raises(OSError), held(PERFORMANCE, pi.root, ignore, pi.tree):
            pytest.fail("it was not noted")
        assert pi.governor == "schedutil"

    def test_nothing_is_changed_when_the_watchdog_does_not_start(
        self, pi: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "edgewright_agent.conditions.watchdog.worker_command", lambda *words: [sys.executable, "-c", ""]
        )
        message, _ = pi.refused(PERFORMANCE)
        assert "does not start" in message
        assert pi.governor == "schedutil"


def agent(place: Place, *words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "edgewright_agent", "--root", place.root, *words],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestPermission:
    """Run as a user who may change nothing, beside a ``sudo`` that allows what a test says."""

    CODE = """
import json, os, sys
root, tree, wanted = sys.argv[1:4]
from edgewright_agent.conditions import held
from edgewright_agent.failure import AgentFailure
from edgewright_agent.protocol import Conditions, decode, encode
governor = os.path.join(tree, "sys/devices/system/cpu/cpufreq/policy0/scaling_governor")
try:
    with held(decode(Conditions, json.loads(wanted)), root, lambda event: None, tree) as kept:
        during = open(governor).read().strip()
except AgentFailure as failure:
    print(json.dumps(encode(failure.error)))
else:
    print(json.dumps({"during": during, "problems": [s.problem for s in kept.told().settings]}))
"""

    SUDO = """#!/bin/sh
echo "$*" >> "{log}"
[ "$1" = -n ] || exit 9
shift
[ "$1" = -l ] && {{ shift; only=yes; }}
case "${{1##*/}}" in {allowed}) ;; *) echo "sudo: a password is required" >&2; exit 1;; esac
[ -z "$only" ] || exit 0
chmod -R u+w "{tree}"; "$@"; status=$?; chmod -R u-w "{tree}"; exit $status
"""

    @pytest.fixture
    def tmp_path(self) -> Iterator[Path]:
        """A folder that other users may enter."""
        with tempfile.TemporaryDirectory(prefix="edgewright-test-") as folder:
            Path(folder).chmod(0o755)
            yield Path(folder)
            subprocess.run(["chmod", "-R", "u+w", folder], check=True)

    def run(self, place: Place, tmp_path: Path, allowed: str | None, **wanted: str) -> dict[str, Any]:
        require(os.geteuid() == 0, "becoming another user needs root")
        require_command("setpriv")
        tools = tmp_path / "tools"
        tools.mkdir()
        log = tools / "log"
        log.touch(mode=0o666)
        log.chmod(0o666)
        if allowed is not None:
            sudo = tools / "sudo"
            sudo.write_text(self.SUDO.format(log=log, allowed=allowed, tree=place.tree))
            sudo.chmod(0o755)
        for folder in (place.tree, place.root):
            subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
        subprocess.run(["chmod", "-R", "u-w", place.tree], check=True)
        may_read = "+dac_read_search"  # this Python may lie in a home directory that is closed to others
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        user += [f"--inh-caps={may_read}", f"--ambient-caps={may_read}"]
        done = subprocess.run(
            [*user, sys.executable, "-c", self.CODE, place.root, place.tree, json.dumps(wanted)],
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        answer["log"] = log.read_text()
        return answer

    def test_sudo_is_asked_without_a_password(self, pi: Place, tmp_path: Path) -> None:
        answer = self.run(pi, tmp_path, "tee", governor="performance")
        assert (answer["during"], answer["problems"]) == ("performance", [""])
        assert pi.governor == "schedutil"
        assert answer["log"].count("-n ") == 2

    def test_without_permission_it_is_refused_with_the_line_to_add(self, pi: Place, tmp_path: Path) -> None:
        answer = self.run(pi, tmp_path, "nothing", governor="performance")
        assert answer["code"] == "conditions-refused"
        assert "Permission denied" in answer["message"] and "a password is required" in answer["message"]
        assert "/etc/sudoers.d/edgewright" in answer["mend"]
        assert "NOPASSWD: " in answer["mend"]
        assert "tee " in answer["mend"] and "policy[0-9]/scaling_governor" in answer["mend"]
        assert (pi.governor, pi.noted) == ("schedutil", False)

    def test_a_mode_that_could_not_be_set_back_is_not_set(self, jetson: Place, tmp_path: Path) -> None:
        """Nothing is changed before it is known that it may be undone."""
        answer = self.run(jetson, tmp_path, "tee", power_mode="15W")
        assert answer["code"] == "conditions-refused"
        assert "nvpmodel -m [0-9]" in answer["mend"]
        assert jetson.mode == ("2", "as they please")
        assert "-l " in answer["log"] and answer["log"].count("\n") == 1

    def test_modes_by_sudo(self, jetson: Place, tmp_path: Path) -> None:
        answer = self.run(jetson, tmp_path, "nvpmodel|jetson_clocks", power_mode="15W")
        assert answer["problems"] == ["", ""]
        assert jetson.mode == ("2", "as they please")

    def test_where_there_is_no_sudo(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(commands, "locate", lambda name: "")
        with pytest.raises(privilege.RefusedError, match="there is no sudo") as caught:
            privilege.run_privileged(["/usr/sbin/nvpmodel", "-m", "1"], [])
        assert "docs/conditions.md" in caught.value.mend


class Thermometer:
    """A zone that goes through temperatures, one a reading after the first."""

    def __init__(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, celsius: list[float], step_s: float
    ) -> None:
        self._place, self._celsius, self._now_s = place, celsius, 0.0
        self._step_s = step_s
        place.board.put(ZONE, round(celsius[0] * 1000))
        clock = SimpleNamespace(sleep=self._sleep, monotonic=lambda: self._now_s)
        monkeypatch.setattr(cooling, "time", clock)

    def _sleep(self, seconds: float) -> None:
        self._now_s += self._step_s
        if len(self._celsius) > 1:
            self._celsius.pop(0)
        self._place.board.put(ZONE, round(self._celsius[0] * 1000))


class TestCooling:
    @pytest.fixture
    def bare(self, tmp_path: Path) -> Place:
        return Place(boards.raspberry_pi_5(tmp_path / "pi"), tmp_path)

    def cool(self, place: Place, to: float, limit_s: float = 600.0) -> tuple[Any, list[dict[str, Any]]]:
        events: list[dict[str, Any]] = []
        wanted = Conditions(cool_to_mc=round(to * 1000), cool_limit_s=limit_s)
        return cooling.cool(wanted, events.append, place.tree), events

    def test_a_cool_device_begins_at_once(self, bare: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        Thermometer(bare, monkeypatch, [49.9], 1)
        told, events = self.cool(bare, 50)
        assert (told.first_mc, told.last_mc, told.waited_s, told.given_up, events) == (
            49900,
            49900,
            0,
            "",
            [],
        )

    def test_it_waits_and_tells_how_warm_it_is(self, bare: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        Thermometer(bare, monkeypatch, [float(t) for t in range(61, 40, -1)], 1)
        told, events = self.cool(bare, 50)
        assert (told.zone, told.first_mc, told.last_mc, told.waited_s) == ("cpu-thermal", 61000, 50000, 11)
        assert told.given_up == ""
        assert events[0] == {"event": "phase", "name": "cooling"}
        assert [event["celsius"] for event in events[1:]] == [61.0, 56.0, 51.0]

    def test_the_time_is_up_at_some_point(self, bare: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        Thermometer(bare, monkeypatch, [90 - n / 10 for n in range(1000)], 10)
        told, _ = self.cool(bare, 50)
        assert told.waited_s == 600
        assert told.given_up == "600 s were over"

    def test_a_device_that_does_not_cool_any_more_is_not_waited_for(
        self, bare: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Thermometer(bare, monkeypatch, [60, 58, 56, 55, 55.2, 54.8, 55], 5)
        told, _ = self.cool(bare, 50)
        assert told.waited_s == 15 + cooling.STUCK_S
        assert "not become cooler for 120 s" in told.given_up

    def test_sensors_of_something_else_do_not_count(
        self, bare: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree.put_all(bare.board.root, "sys/class/thermal/thermal_zone1", {"type": "battery", "temp": 80000})
        Thermometer(bare, monkeypatch, [40], 1)
        assert self.cool(bare, 50)[0].zone == "cpu-thermal"

    def test_without_a_name_that_says_cpu_all_count(self, tmp_path: Path) -> None:
        place = Place(boards.Board(tmp_path / "b", "", lambda a, b: None), tmp_path)
        for number, value in enumerate((40000, 45000)):
            tree.put_all(
                place.board.root,
                f"sys/class/thermal/thermal_zone{number}",
                {"type": f"acpitz{number}", "temp": value},
            )
        assert cooling.hottest(place.tree) == ("acpitz1", 45000)

    def test_a_device_that_tells_no_temperature_is_refused(self, tmp_path: Path) -> None:
        place = Place(boards.ina2xx(tmp_path / "b", "ina219"), tmp_path)
        message, mend = place.refused(Conditions(cool_to_mc=50000))
        assert "does not tell its temperature" in message and "--cool-to" in mend

    def test_a_hot_device_runs_with_what_was_set_set(
        self, pi: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Set first, cooled then: what is measured begins under the conditions it goes on under."""
        states: list[str] = []

        def hottest(tree: str) -> tuple[str, int]:
            states.append(pi.governor)
            return "cpu", 40_000

        monkeypatch.setattr(cooling, "hottest", hottest)
        kept = pi.hold(Conditions(governor="performance", cool_to_mc=50000))
        assert states == ["performance"]
        told = kept.told()
        assert told and told.cooling and told.cooling.last_mc == 40000


def test_the_kinds_of_change_are_those_that_are_known() -> None:
    assert {"attribute", "nvpmodel", "clocks"} == set(record.KINDS)
    assert knobs._MODE.search("NVPM VERB: POWER_MODEL: ID=1 NAME=MODE_15W_2CORE\n")
