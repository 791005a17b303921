"""pip in an environment: run in bounded time, its progress told, its refusal put in one line."""

import os
import re
import selectors
import signal
import subprocess
import time
from typing import Callable, List, Sequence

from .failure import AgentFailure
from .protocol_provision import pip_reason

INSTALL_S = 3600.0

_TICK_S = 1.0
_PIECE_BYTES = 1 << 16
_KEPT_LINES = 200
_STEP = re.compile(r"\s*(Collecting|Processing|Downloading|Installing)\s+(\S+)")

#: Told what pip is at, and for how many seconds it has run.
OnStep = Callable[[str, float], None]


def run_pip(words: Sequence[str], on_step: OnStep, timeout_s: float = INSTALL_S) -> None:
    """Run ``python ... pip ...`` to its end.

    Args:
        words: the whole command.
        on_step: called about once a second. What it raises ends pip: a broken pipe says that nobody waits
            any more.

    Raises:
        AgentFailure: ``missing-runtime``, ``disk-full`` or ``timeout``, with pip's reason.
    """
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "LC_ALL": "C"}
    process = subprocess.Popen(
        list(words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout
    try:
        lines = _followed(process.stdout.fileno(), on_step, timeout_s)
        if process.wait() != 0:
            raise _failure(lines)
    finally:
        process.stdout.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failure(lines: Sequence[str]) -> AgentFailure:
    kind, reason = pip_reason(lines)
    if kind == "disk-full":
        return AgentFailure(kind, f"no space for the packages: {reason}", "free some space there")
    if kind == "unreachable":
        mend = "connect it to the network, or let this host fetch the wheels: --offline"
        return AgentFailure("missing-runtime", f"pip on the device cannot reach its index: {reason}", mend)
    return AgentFailure("missing-runtime", f"pip on the device: {reason}")


def _followed(stream: int, on_step: OnStep, timeout_s: float) -> List[str]:
    """What it prints, the last lines of it, once it has ended."""
    begun, step, pending = time.monotonic(), "", b""
    kept: List[str] = []
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if selector.select(_TICK_S):
                piece = os.read(stream, _PIECE_BYTES)
                if not piece:
                    return [*kept, pending.decode("utf-8", "replace")]
                *whole, pending = (pending + piece)[-_PIECE_BYTES:].split(b"\n")
                new = [line.decode("utf-8", "replace") for line in whole]
                kept = (kept + new)[-_KEPT_LINES:]
                step = _last_step(new) or step
            seconds = time.monotonic() - begun
            if seconds > timeout_s:
                raise AgentFailure("timeout", f"pip did not end within {timeout_s:g} s")
            on_step(step, seconds)


def _last_step(lines: Sequence[str]) -> str:
    """Such as ``collecting numpy``; of an address or a path only the last part."""
    for line in reversed(lines):
        match = _STEP.match(line)
        if match:
            what = match.group(2).rsplit("/", 1)[-1][:80]
            return f"{match.group(1).lower()} {'packages' if what == 'collected' else what}"
    return ""
