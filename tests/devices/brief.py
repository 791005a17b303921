"""A host whose measurements are brief: what emulated devices compute counts, not how fast they are."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .command_line import TEST_CACHE, Answer, brief_main
from .hosts import Running
from .rootfs import STAND_INS

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 600.0

_PLAN = """
[plan]
name = "emulated"
workloads = ["{root}/examples/{example}.py:workload"]
recipes = {recipes}
runtimes = {runtimes}
devices = ["{device}"]
preset = "rapid"
threads = 1
evaluate = "{judge}"
"""


class BriefHost:
    """One host with a home and a store of its own, and the wheels of Arm in place of a package index.

    Args:
        folder: its own.
        before: words to put before each command, for a host in another network.
    """

    def __init__(self, folder: Path, before: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._before = tuple(before)
        own = ("EDGEWRIGHT_", "XDG_", "SSH_", "PIP_")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(own)},
            "HOME": str(folder / "home"),
            "EDGEWRIGHT_STORE": str(folder / "store.sqlite"),
            "EDGEWRIGHT_CACHE": str(TEST_CACHE),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(STAND_INS / "wheels"),
        }
        self.running: list[Running] = []

    def start(self, *words: str, seconds: float = 0.1) -> Running:
        """Start a command whose launches are timed for so long."""
        command = [*self._before, sys.executable, "-c", brief_main(seconds), *words]
        self.running.append(Running(command, self.folder, self.environment))
        return self.running[-1]

    def __call__(self, *words: str) -> Answer:
        """Run a command to its end."""
        return self.start(*words).end(LIMIT_S)

    def plan(
        self,
        device: str,
        recipes: Sequence[str],
        runtimes: Sequence[str],
        example: str = "digits",
        judge: str = "device",
    ) -> str:
        """Write a plan of an example whose quality is judged there; its name."""
        asked = {"recipes": json.dumps(list(recipes)), "runtimes": json.dumps(list(runtimes))}
        told = _PLAN.format(root=ROOT, device=device, example=example, judge=judge, **asked)
        (self.folder / "plan.toml").write_text(told)
        return "plan.toml"

    def report(self, name: str = "report.json") -> Any:
        """One that a command wrote."""
        return json.loads((self.folder / name).read_text())

    def stop(self) -> None:
        """End what still runs."""
        for running in self.running:
            if running.process.poll() is None:
                running.kill()
