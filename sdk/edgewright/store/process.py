"""Which process works on a run, so that a run whose process died can be told from one that goes on."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")


def this_process() -> str:
    """This process, told apart from every other there was, on whichever host shares the store."""
    pid = os.getpid()
    host = {"host": socket.gethostname(), "machine": _machine()}
    return json.dumps({**host, "pid": pid, "started": _started(pid)})


def may_live(text: str) -> bool:
    """Whether a process may still be at work; one on another host may be, for all that is known here."""
    try:
        told = json.loads(text)
        host, pid, started = told["host"], int(told["pid"]), str(told["started"])
    except (ValueError, KeyError, TypeError):
        return False
    if host != socket.gethostname() or told.get("machine", _machine()) != _machine():
        return True
    try:
        has_ended = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        return not has_ended and _started(pid) == started
    except psutil.Error:
        return False


def _started(pid: int) -> str:
    """When a process began: in ticks of one boot where the kernel tells, since no clock moves those."""
    try:
        after_name = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        )
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()} {after_name.split()[19]}"
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"


def _machine() -> str:
    """What tells machines of one name apart; empty where the system has no such thing."""
    try:
        return _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
