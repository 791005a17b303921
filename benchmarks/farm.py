"""A farm of up to 24 devices: does every cell end in one row, and do the devices wait for each other?

    python benchmarks/farm.py scaling [--job-s 6]
    python benchmarks/farm.py faults [--devices 24] [--minutes 10] [--seed 0]     # needs root

``scaling`` runs the schedule, the threads and the database as they are over devices that only let a fixed
time pass for each cell, 1 to 24 of them at once; a row takes 6 s at least, that of the preset ``rapid``.
Efficiency is the time that one device needs for its cells over the time that all need for theirs; processor
time is the share that the host's process takes, a device.

``faults`` makes devices in network namespaces, each with its own OpenSSH server and small disk, and runs
``edgewright farm run`` on them. Meanwhile links are cut and heal, servers are killed and stopped, disks fill
up, links become slow, jobs are killed; and the command itself is killed three times, when chance has it that
so many cells have rows, and given again. At the end the database is asked for the rows.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import errno
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import fakes
from tests.devices.hosts import Board, Host, Running
from tests.devices.netns import Lab
from tests.models import onnx_zoo

from edgewright.farm.effort import load_effort
from edgewright.farm.group import Ended
from edgewright.farm.inventory import SshAddress, Target
from edgewright.farm.job import Settings
from edgewright.farm.session import Run, Work
from edgewright.farm.subject import BareSubject
from edgewright.nightly import Night, NightWork
from edgewright.nightly.hands import Hand
from edgewright.nightly.inbox import Inbox
from edgewright.nightly.orders import BuildOrder, GroupOrder, GroupReport, Health
from edgewright.row import Failed, Row, Skipped
from edgewright.store import Store

_DEVICES = (1, 2, 4, 8, 16, 24)
_CELLS = 5
_KILLS = 3
_CLEAN_S = 60.0
#: One of so many devices may be harmed at a time.
_HARMED = 3
_MODELS = ("Relu", "Exp", "Tanh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    scaling = commands.add_parser("scaling")
    scaling.add_argument("--job-s", type=float, default=6.0)
    scaling.add_argument("--devices", type=int, default=0, help=argparse.SUPPRESS)
    faults = commands.add_parser("faults")
    faults.add_argument("--devices", type=int, default=24)
    faults.add_argument("--minutes", type=float, default=10.0)
    faults.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.command == "faults":
        with tempfile.TemporaryDirectory(prefix="edgewright-farm-") as folder:
            _faults(Path(folder), asked.devices, asked.minutes, random.Random(asked.seed))
    elif asked.devices:
        print(json.dumps(_scaled(asked.devices, asked.job_s)))
    else:
        _print_scaling(asked.job_s)


# --- scaling -----------------------------------------------------------------------------------------------


class Simulated:
    """Devices that let time pass: an executor with a thread a device, as the real one has."""

    def __init__(self, names: Sequence[str], job_s: float) -> None:
        self._job_s = job_s
        self._hands = {name: Hand(name) for name in names}
        self._builder = Hand("builds")

    def build(self, order: BuildOrder) -> Future[Failed | Skipped | None]:
        return self._builder.do(lambda: None)

    def measure(self, order: GroupOrder) -> Future[GroupReport]:
        def work() -> GroupReport:
            time.sleep(self._job_s * len(order.tasks))
            ended = tuple(Ended(task.key, fakes.row(cell=task.cell)) for task in order.tasks)
            return GroupReport(ended, seconds=self._job_s * len(order.tasks))

        return self._hands[order.target.name].do(work)

    def forget(self, target: Target, ended: tuple[Ended, ...]) -> None:
        """They have nothing to remember."""

    def check(self, target: Target, *, cycle: bool) -> Future[Health]:
        return self._hands[target.name].do(lambda: Health(True, "simulated"))

    def leave(self, target: Target) -> Future[None]:
        return self._hands[target.name].do(lambda: None)

    def stop(self) -> None:
        """Nothing goes on without the process."""


class Unseen:
    """A view that nobody looks at."""

    def device(self, name: str, state: str, detail: str = "") -> None: ...

    def note(self, text: str) -> None: ...

    def row(self, row: Row) -> None: ...

    def left(self, seconds: float | None, unknown: int) -> None: ...


def _scaled(devices: int, job_s: float) -> dict[str, float]:
    """One farm, in a process of its own."""
    names = [f"device{number}" for number in range(devices)]
    targets = [Target(name, "x86-64-linux", SshAddress(name, "ann", 22, None, None)) for name in names]
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.sqlite") as store:
        subjects = [BareSubject(Path(f"m{number}.onnx"), Path(folder)) for number in range(_CELLS)]
        run = Run(store.begin_run("scaling", "", "rapid"))
        settings = Settings(load_effort("rapid"))
        job = NightWork(Work(subjects, [], ["onnxruntime"], targets), settings, run)
        night = Night(job, store, Simulated(names, job_s), Unseen(), Inbox())
        begun, used = time.monotonic(), time.process_time()
        night.run()
        took, used = time.monotonic() - begun, time.process_time() - used
        assert len(store.rows_by_key(run.run_id)) == devices * _CELLS
    return {
        "devices": devices,
        "efficiency": _CELLS * job_s / took,
        "cpu": used / took / devices,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _print_scaling(job_s: float) -> None:
    print(f"{_CELLS} cells of {job_s:g} s on each device\n")
    print("devices  efficiency  CPU a device  memory")
    for devices in _DEVICES:
        words = [sys.executable, __file__, "scaling", "--job-s", str(job_s), "--devices", str(devices)]
        found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        print(
            f"{devices:7}  {found['efficiency']:10.1%}  {found['cpu']:12.2%}  {found['memory_mb']:3.0f} MB",
            flush=True,
        )


# --- faults ------------------------------------------------------------------------------------------------

_PLAN = """
[plan]
name = "faults"
workloads = {models}
devices = ["tag:bench"]
preset = "rapid"
scenario = "paced"
rate = 20
"""
_BRIEF = (
    "import functools, edgewright.nightly as n; n.Policy = functools.partial("
    "n.Policy, check_s=2.0, most_check_s=10.0, backoff_s=(1.0, 5.0))"
)


def _faults(folder: Path, count: int, minutes: float, chance: random.Random) -> None:
    with Lab(folder / "lab") as lab:
        boards = [Board.plug_in(lab, folder, f"device{number}") for number in range(count)]
        host = Host(lab, folder)
        (host.folder / "farm.toml").write_text("\n".join(board.farm_toml() for board in boards))
        models = [f"{name.lower()}.onnx" for name in _MODELS]
        for name, model in zip(_MODELS, models, strict=True):
            onnx_zoo.save(onnx_zoo.one_node(name), host.folder / model)
        (host.folder / "plan.toml").write_text(_PLAN.format(models=json.dumps(models)))
        try:
            told = _night(host, boards, minutes, chance)
        finally:
            host.stop()
        _print_faults(host, boards, models, told)


@dataclass
class _Told:
    """What happened, counted, and what the host's processes took."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    cpu_s: float = 0.0
    peak_bytes: int = 0
    seconds: float = 0.0


def _night(host: Host, boards: Sequence[Board], minutes: float, chance: random.Random) -> _Told:
    """The command, killed and given again, among faults."""
    told = _Told()
    kills = sorted(chance.uniform(0.1, 0.8) for _ in range(_KILLS))
    begun, running = time.monotonic(), _begin(host)
    cpu_s = 0.0
    harmed: dict[str, contextlib.ExitStack] = {}
    while running.process.poll() is None and time.monotonic() - begun < 60 * minutes:
        time.sleep(chance.uniform(0.5, 60 / len(boards) + 0.5))
        _harm(boards, harmed, chance, told)
        cpu_s = max(cpu_s, _cpu_s(running))
        told.peak_bytes = max(told.peak_bytes, running.peak_bytes())
        if kills and _share_done(running) > kills[0]:
            kills.pop(0)
            told.counts.update(_noted(running))
            told.counts["host killed"] += 1
            told.cpu_s, cpu_s = told.cpu_s + cpu_s, 0.0
            running.kill()
            running = _begin(host)
    for healing in harmed.values():
        healing.close()
    while running.process.poll() is None:
        cpu_s = max(cpu_s, _cpu_s(running))
        told.peak_bytes = max(told.peak_bytes, running.peak_bytes())
        time.sleep(0.2)
    answer = running.end()
    told.cpu_s, told.seconds = told.cpu_s + cpu_s, time.monotonic() - begun
    told.counts.update(_noted(running))
    told.counts["exit code"] = answer.code
    return told


def _harm(
    boards: Sequence[Board], harmed: dict[str, contextlib.ExitStack], chance: random.Random, told: _Told
) -> None:
    """Heal a device now and then, and harm one that is well; most are well at any time."""
    if harmed and (chance.random() < 0.5 or len(harmed) > len(boards) // _HARMED):
        harmed.pop(chance.choice(list(harmed))).close()
    board = chance.choice([board for board in boards if board.name not in harmed])
    name = chance.choice(list(_HARM))
    healing = contextlib.ExitStack()
    try:
        healing.enter_context(_HARM[name](board))
    except ValueError:  # no job runs there that could be killed
        return
    harmed[board.name] = healing
    told.counts[name] += 1


def _share_done(running: Running) -> float:
    """Of the cells; 0 until the command tells."""
    told = re.findall(r"^\[(\d+)/(\d+)\]", running.err, re.MULTILINE)
    return int(told[-1][0]) / int(told[-1][1]) if told else 0.0


def _cpu_s(running: Running) -> float:
    """Processor time of the command; 0 once it has ended."""
    try:
        times = psutil.Process(running.process.pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _begin(host: Host) -> Running:
    words = ("farm", "run", "plan.toml", "--junit", "junit.xml", "--retries", "5", "--return-wait", "10")
    return host.start(*words, launches=1, seconds=4, patch=_BRIEF)


def _noted(running: Running) -> dict[str, int]:
    notes = {
        "quarantined": ": quarantined: ",
        "back from quarantine": ": back from quarantine: ",
        "told as left behind": ": a job stays on the device",
    }
    return {name: running.err.count(text) for name, text in notes.items()}


@contextlib.contextmanager
def _cut(board: Board) -> Iterator[None]:
    board.node.cut()
    yield
    board.node.heal()


@contextlib.contextmanager
def _killed(board: Board) -> Iterator[None]:
    board.node.sshd.kill_sessions()
    yield


@contextlib.contextmanager
def _stopped(board: Board) -> Iterator[None]:
    board.node.sshd.stop()
    yield
    board.node.sshd.start()


@contextlib.contextmanager
def _lost(board: Board) -> Iterator[None]:
    os.kill(board.job_pid(), signal.SIGKILL)
    yield


@contextlib.contextmanager
def _full(board: Board) -> Iterator[None]:
    stuffing, space = board.node.disk / "stuffing", os.statvfs(board.node.disk)
    with stuffing.open("wb") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, max(4096, space.f_bavail * space.f_frsize - (32 << 10)))
        except OSError as error:
            if error.errno != errno.ENOSPC:  # then the device has taken the rest meanwhile, and it is full
                raise
    yield
    stuffing.unlink()


@contextlib.contextmanager
def _slow(board: Board) -> Iterator[None]:
    board.node.rate("2mbit")
    yield
    board.node.rate("1gbit")


_HARM: dict[str, Callable[[Board], contextlib.AbstractContextManager[None]]] = {
    "link cut": _cut,
    "sessions killed": _killed,
    "server stopped": _stopped,
    "job killed": _lost,
    "disk full": _full,
    "slow link": _slow,
}


def _print_faults(host: Host, boards: Sequence[Board], models: Sequence[str], told: _Told) -> None:
    with Store.open(host.environment["EDGEWRIGHT_STORE"]) as store:
        (summary,) = store.list_runs()
        rows = store.run(summary.run.run_id).rows
    cells = collections.Counter((row.cell.device, row.cell.workload) for row in rows)
    expected = {(board.name, model) for board in boards for model in models}
    for name, count in sorted(told.counts.items()):
        print(f"{name:24}{count:6}")
    share = told.cpu_s / told.seconds / len(boards)
    print(f"{'seconds':24}{told.seconds:6.0f}")
    print(f"{'CPU of the host a device':24}{share:6.1%}")
    print(f"{'memory of the host':24}{told.peak_bytes >> 20:6} MB")
    print(f"{'cells':24}{len(expected):6}")
    print(f"{'measured':24}{summary.measured:6}")
    for (code,), count in collections.Counter(
        (row.outcome.code,) for row in rows if isinstance(row.outcome, Failed)
    ).items():
        print(f"{'failed: ' + code:24}{count:6}")
    print(f"{'without a row':24}{len(expected - set(cells)):6}")
    print(f"{'with two rows':24}{sum(count > 1 for count in cells.values()):6}")
    deadline = time.monotonic() + _CLEAN_S
    while time.monotonic() < deadline and not all(board.is_clean() for board in boards):
        time.sleep(1)
    dirty = [board for board in boards if not board.is_clean()]
    print(f"{'devices not clean':24}{len(dirty):6}")
    for board in dirty:  # one that could not be reached when the farm was done with it
        print(f"    {board.name}: {len(board.jobs)} jobs, {len(board.processes())} processes")


if __name__ == "__main__":
    main()
