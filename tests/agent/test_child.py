"""A worker may crash, hang, babble or grow: its parent stays and tells the cause."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgewright_agent.child import Child, Ending
from edgewright_agent.failure import AgentFailure
from edgewright_agent.protocol import Execution, Limits


def run(
    code: str, folder: Path, limits: Limits | None = None, emit: Any = lambda event: None
) -> tuple[Ending, list[Any]]:
    events: list[Any] = []

    def command(where: str, event_fd: int) -> list[str]:
        return [sys.executable, "-c", f"import os, sys, time; events = os.fdopen({event_fd}, 'w')\n{code}"]

    child = Child(str(folder), Execution("none"), limits or Limits(timeout_s=30), command)
    return child.run(events.append, emit), events


def test_events_are_passed_on(tmp_path: Path) -> None:
    ending, events = run(
        """events.write('{"event": "phase", "name": "load"}\\n'); events.flush()""", tmp_path
    )
    assert events == [{"event": "phase", "name": "load"}]
    assert ending.returncode == 0
    assert "status 0 and no report" in ending.failure().error.message


def test_a_crash_is_named_by_its_signal_with_the_last_words(tmp_path: Path) -> None:
    ending, _ = run("print('so long', file=sys.stderr, flush=True); os.kill(os.getpid(), 11)", tmp_path)
    error = ending.failure().error
    assert error.code == "agent-fault"
    assert error.message == "the worker was ended by SIGSEGV; its last words: so long"


def test_a_hang_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    code = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)"""
    started = time.monotonic()
    ending, _ = run(code, tmp_path, Limits(timeout_s=1.5))
    assert time.monotonic() - started < 10
    assert ending.failure().error.code == "timeout"
    grandchild = int(ending.tail)
    wait_until_gone(grandchild)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.01)


def test_a_million_lines_are_drained_and_bounded(tmp_path: Path) -> None:
    ending, _ = run("for i in range(1_000_000): print('line', i)", tmp_path)
    assert ending.returncode == 0
    assert ending.tail.endswith("line 999999") and len(ending.tail) < 4096


def test_garbage_on_the_event_pipe_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(AgentFailure, match="wrote no event: b'garbage'"):
        run("events.write('garbage\\n'); events.flush(); time.sleep(30)", tmp_path)


def test_an_endless_event_line_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(AgentFailure, match="endless event line"):
        run("while True: events.write('x' * 65536); events.flush()", tmp_path)


def test_a_memory_limit_is_kept(tmp_path: Path) -> None:
    ending, _ = run(
        "hog = bytearray(300 << 20); time.sleep(60)", tmp_path, Limits(30, memory_bytes=150 << 20)
    )
    error = ending.failure().error
    assert error.code == "out-of-memory" and "exceeded the limit of 157286400" in error.message


def test_the_worker_ends_when_nobody_listens(tmp_path: Path) -> None:
    class Gone(Exception):
        pass

    def gone(event: Any) -> None:
        raise Gone

    started = time.monotonic()
    with pytest.raises(Gone):
        run("time.sleep(60)", tmp_path, emit=gone)
    assert time.monotonic() - started < 10


def test_processors_that_are_not_here_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentFailure, match=r"processors \[4096\] asked for"):
        Child(str(tmp_path), Execution("none", affinity=(4096,)), Limits()).run(print, print)


def test_the_worker_is_pinned_before_it_starts(tmp_path: Path) -> None:
    first = min(os.sched_getaffinity(0))

    def command(where: str, event_fd: int) -> list[str]:
        return [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]

    ending = Child(str(tmp_path), Execution("none", affinity=(first,)), Limits(30), command).run(print, print)
    assert ending.tail == str({first})


def test_an_end_by_the_kernel_for_memory_is_told_from_any_other_kill() -> None:
    killed = Ending(-signal.SIGKILL, "", oom_killed=True, tail="")
    other = Ending(-signal.SIGKILL, "", oom_killed=False, tail="")
    assert killed.failure().error.code == "out-of-memory"
    assert other.failure().error.message == "the worker was ended by SIGKILL"
