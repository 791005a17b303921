"""Which process works on a run, so that a run whose process died can be told from one that goes on."""

from __future__ import annotations

import json
import os
import socket

import psutil


def this_process() -> str:
    """This process, told apart from every other there was."""
    found = {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}
    return json.dumps(found)


def may_live(text: str) -> bool:
    """Whether a process may still be at work; one on another host may be, for all that is known here."""
    try:
        told = json.loads(text)
        host, pid, started = told["host"], int(told["pid"]), float(told["started"])
    except (ValueError, KeyError, TypeError):
        return False
    if host != socket.gethostname():
        return True
    try:
        return bool(abs(psutil.Process(pid).create_time() - started) < 1.0)
    except psutil.Error:
        return False
