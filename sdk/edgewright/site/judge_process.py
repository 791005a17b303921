"""Processes that find changes for another one: a line of JSON in, a line of JSON out.

They are begun by this module's name, so that whoever writes a site needs no main module to import twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import IO

import numpy as np

from edgewright.errors import EdgewrightError
from edgewright.history.changes import Change, Course, Floats, course

_NICE = 5


class JudgeProcesses:
    """A few processes, each of which is asked by one thread at a time. Use it as a context manager."""

    def __init__(self, count: int, threshold: float) -> None:
        self._threshold = threshold
        command = [sys.executable, "-P", "-m", "edgewright.site.judge_process"]
        pipe = subprocess.PIPE
        self._processes = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="ascii")
            for _ in range(count)
        ]
        self._idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def __enter__(self) -> JudgeProcesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            with contextlib.suppress(BrokenPipeError), process:
                continue  # leaving closes its pipes, with what was never read of them, and waits for it

    def courses(self, series: Sequence[tuple[Floats, Floats]]) -> list[Course]:
        """What each series did, given its values and what they do not know themselves.

        Raises:
            EdgewrightError: the process that was asked has ended.
        """
        if not series:
            return []
        asked = [[values.tolist(), within.tolist()] for values, within in series]
        process = self._idle.get()
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps([self._threshold, asked]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""  # said below
        finally:
            self._idle.put(process)
        if not line:
            raise EdgewrightError(f"a process that judges series has ended with {process.wait()}")
        return [
            Course(tuple(Change(**change) for change in one["changes"]), one["noise"])
            for one in json.loads(line)
        ]


def answer(asked: IO[str], told: IO[str]) -> None:
    """Judge what is asked, line by line, until nothing more comes."""
    for line in asked:
        threshold, series = json.loads(line)
        found = [
            course(np.asarray(values, np.float64), np.asarray(within, np.float64), threshold=threshold)
            for values, within in series
        ]
        told.write(json.dumps([asdict(one) for one in found]) + "\n")
        told.flush()


if __name__ == "__main__":
    os.nice(_NICE)
    answer(sys.stdin, sys.stdout)
