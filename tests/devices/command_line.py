"""The ``edgewright`` command as a person runs it: a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: What tests that do not ask how things are built have built; found again by content, from run to run.
TEST_CACHE = Path(__file__).resolve().parents[2] / "build/test-cache/edgewright"

_MAIN = "from edgewright.cli.main import main; main()"

_BRIEF = """
import dataclasses
from edgewright.farm.effort import EFFORTS, Effort
scenario = Effort.scenario
Effort.scenario = lambda effort: dataclasses.replace(scenario(effort), warmup_duration_ns=0)
for name in ("rapid", "quick"):
    EFFORTS[name] = dataclasses.replace(
        EFFORTS[name], launches={launches}, min_count={count}, min_duration_s={seconds},
        idle_s=0.01, energy_s=0.01, repeats=0,
    )
"""


def brief_presets(seconds: float, count: int = 4, launches: int = 1) -> str:
    """Statements after which the quicker presets time ``count`` queries in ``seconds``.

    For tests of what is done with measurements, not of what is measured.
    """
    return _BRIEF.format(seconds=seconds, count=count, launches=launches)


def brief_main(seconds: float, count: int = 4) -> str:
    """The command's program with such presets."""
    return brief_presets(seconds, count) + _MAIN


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Edgewright:
    """Runs commands in ``folder``, after the words ``before`` if there are any."""

    folder: Path
    before: tuple[str, ...] = ()
    timeout_s: float = 120.0
    program: str = _MAIN

    def __call__(self, *words: str, stdin: str = "") -> Answer:
        command = [*self.before, sys.executable, "-c", self.program, *words]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=self.timeout_s,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)
