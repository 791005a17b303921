"""The ``edgewright`` command as a person runs it: a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: What tests that do not ask how things are built have built; found again by content, from run to run.
TEST_CACHE = Path(__file__).resolve().parents[2] / "build/test-cache/edgewright"

_MAIN = "from edgewright.cli.main import main; main()"


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

    def __call__(self, *words: str, stdin: str = "") -> Answer:
        command = [*self.before, sys.executable, "-c", _MAIN, *words]
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
