"""A host beside a lab's devices, as a person works on it: its commands are processes that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import require
from .command_line import Answer, brief_presets
from .netns import Lab, Node

PYTHON = Path(__file__).resolve().parents[2] / "build/envs/onnxruntime/bin/python"
LIMIT_S = 60.0

#: What a device is and what a model computes are the same from command to command, and asked once.
_MAIN = """
import hashlib, os, pickle, sys
from pathlib import Path
from edgewright import reference
from edgewright.device import Device

def known(name, make):
    path = Path({kept!r}) / name
    if not path.exists():
        mine = path.with_suffix("." + str(os.getpid()))
        mine.write_bytes(pickle.dumps(make()))
        mine.replace(path)
    return pickle.loads(path.read_bytes())

probe, run = Device.probe, reference.reference_run
if {knows_devices}:
    Device.probe = lambda device: known("facts", lambda: probe(device))
reference.reference_run = lambda files, *rest, **options: known(
    hashlib.sha256(files[0].read_bytes()).hexdigest(), lambda: run(files, *rest, **options)
)
{presets}
{patch}
from edgewright.cli.main import main
main()
"""

#: Each Python of a device says what it was started for.
_WITNESS = """
import os, sys
words = " ".join(getattr(sys, "orig_argv", sys.argv))
with open({log!r}, "a") as stream:
    stream.write(f"{{os.getpid()}} {{words}}\\n")
"""


def until(condition: Callable[[], object], what: str = "it", limit_s: float = LIMIT_S) -> None:
    """Wait for something to come about."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.02)


class Running:
    """A command that runs."""

    def __init__(self, words: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self._paths = [folder / f"{name}{time.monotonic_ns()}" for name in ("out", "err")]
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder, env=environment
            )

    @property
    def err(self) -> str:
        """What it said on standard error so far."""
        return self._paths[1].read_text(errors="replace")

    def end(self, limit_s: float = LIMIT_S) -> Answer:
        """Wait for it; no traceback, whatever happened."""
        code = self.process.wait(limit_s)
        answer = Answer(code, self._paths[0].read_text(errors="replace"), self.err)
        assert "Traceback" not in answer.out + answer.err, answer.err
        return answer

    def kill(self) -> None:
        """As a crash of the host would."""
        self.process.kill()
        self.process.wait(10)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def peak_bytes(self) -> int:
        """The most memory it has had; 0 when it has ended."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        return int(found[0]) * 1024 if found else 0


class Host:
    """One host: its own home, store and folder for temporary files.

    It ``knows_devices`` unless told otherwise, so that not every command asks one what it is.
    """

    knows_devices = True

    def __init__(self, lab: Lab, folder: Path, name: str = "host") -> None:
        self._lab = lab
        self.folder = folder / name
        self._kept = folder.parent / "kept"
        self._kept.mkdir(exist_ok=True)
        self._temporary = self.folder / "temporary"
        self._temporary.mkdir(parents=True)
        self.environment = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("EDGEWRIGHT_", "XDG_", "SSH_"))
            },
            "HOME": str(self.folder / "home"),
            "USER": name,
            "LOGNAME": name,
            "EDGEWRIGHT_STORE": str(self.folder / "store.sqlite"),
            "TMPDIR": str(self._temporary),
        }
        self.running: list[Running] = []

    def start(self, *words: str, launches: int = 2, seconds: float = 0.2, patch: str = "") -> Running:
        """Start a command whose preset ``rapid`` is that of ``launches`` and ``seconds``."""
        code = _MAIN.format(
            kept=str(self._kept),
            knows_devices=self.knows_devices,
            presets=brief_presets(seconds, launches=launches),
            patch=patch,
        )
        command = self._lab.command(sys.executable, "-c", code, *words)
        made = Running(command, self.folder, self.environment)
        self.running.append(made)
        return made

    def __call__(self, *words: str, **options: Any) -> Answer:
        """Run a command to its end."""
        return self.start(*words, **options).end()

    def rows(self, name: str = "report.json") -> list[dict[str, Any]]:
        """Those of a report it wrote."""
        rows: list[dict[str, Any]] = json.loads((self.folder / name).read_text())["rows"]
        return rows

    def left_over(self) -> list[str]:
        """Temporary files that lie about."""
        return sorted(entry.name for entry in self._temporary.iterdir())

    def stop(self) -> None:
        """End what still runs."""
        for running in self.running:
            if running.process.poll() is None:
                running.kill()


def running_jobs(root: Path) -> list[Path]:
    """The jobs in the agent's folder that have not ended."""
    return [job for job in sorted(root.glob("jobs/*")) if not (job / "outcome.json").exists()]


def is_measuring(root: Path) -> bool:
    """Whether one of them has entered its timed phase, and no other since."""
    phases = []
    for job in running_jobs(root):
        path = job / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        phases += [event["name"] for event in map(json.loads, lines) if event["event"] == "phase"]
    return phases[-1:] == ["measure"]


@dataclass
class Board:
    """A device of a lab, and a witness of what is started on it."""

    node: Node
    witness: Path
    name: str = "board"

    @classmethod
    def plug_in(cls, lab: Lab, folder: Path, name: str = "board", disk: str = "64m") -> Board:
        """A new one with a Python that has a runtime."""
        require(PYTHON.exists(), f"{PYTHON} is missing: make test sets it up")
        place = folder / f"{name}-witness"
        place.mkdir()
        (place / "sitecustomize.py").write_text(_WITNESS.format(log=str(place / "log")))
        (place / "log").touch()
        node = lab.add(disk=disk, environment={"PYTHONPATH": str(place)})
        return cls(node, place / "log", name)

    def farm_toml(self, python: str = str(PYTHON)) -> str:
        return self.node.sshd.farm_toml(self.name, python=python)

    @property
    def root(self) -> Path:
        """The agent's folder."""
        return self.node.disk / "edgewright"

    def started(self, command: str) -> list[int]:
        """Process ids of all that were ever started for a command of the agent."""
        lines = [line.split() for line in self.witness.read_text().splitlines()]
        return [int(words[0]) for words in lines if "--root" in words and command in words]

    @property
    def jobs(self) -> list[Path]:
        """The folders of its spool."""
        where = self.root / "jobs"
        return sorted(where.iterdir()) if where.is_dir() else []

    @property
    def running(self) -> list[Path]:
        """Those of its jobs that have not ended."""
        return running_jobs(self.root)

    def is_measuring(self) -> bool:
        """Whether a job has entered its timed phase, and no other since."""
        return is_measuring(self.root)

    def job_pid(self) -> int:
        """The process of the one job that runs."""
        (pid,) = [int((job / "alive").read_text()) for job in self.running]
        return pid

    def processes(self) -> list[str]:
        """Command lines of all that runs there, but for the server itself."""
        lines = []
        for pid in self.node.processes():
            try:
                line = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                )
            except OSError:
                continue
            if line and "sshd_config" not in line and "[listener]" not in line:
                lines.append(line)
        return lines

    def is_clean(self) -> bool:
        """Whether no job is kept, nothing was left half sent, and nothing of ours runs."""
        store = self.root / "store"
        parts = (
            [entry.name for entry in store.iterdir() if entry.name.endswith(".part")]
            if store.is_dir()
            else []
        )
        return not self.jobs and not parts and not self.processes()
