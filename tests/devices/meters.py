"""Power meters made of software: what they print follows the load that is really there, or a script."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Prints ``IDLE_W`` or ``BUSY_W`` by how much processor time the workers below a folder took lately.
_FOLLOWER = r"""
import collections, os, sys, time
folder, rate, late, skew = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
stop_after, plain = float(sys.argv[5]), sys.argv[6] == "plain"
tick = os.sysconf("SC_CLK_TCK")

def workers():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as stream:
                    words = stream.read().split(b"\0")
                if b"worker" in words and any(w.startswith(folder.encode()) for w in words):
                    yield name
            except OSError:
                pass

def used():
    total = 0
    for pid in workers():
        try:
            with open(f"/proc/{pid}/stat") as stream:
                fields = stream.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / tick

started = time.monotonic()
history = collections.deque()
before, due = used(), time.monotonic()
first_busy = None
while True:
    due += 1 / rate
    time.sleep(max(0.0, due - time.monotonic()))
    now = used()
    busy = now - before > 0.15 / rate
    before = now
    history.append((time.monotonic(), 5.0 if busy else 2.0, time.time() + skew))
    while history and history[0][0] <= time.monotonic() - late:
        _, watts, stamp = history.popleft()
        print(f"{watts:.4f}" if plain else f"{stamp:.6f},{watts:.4f}", flush=True)
    if busy and first_busy is None:
        first_busy = time.monotonic()
    if stop_after and first_busy and time.monotonic() - first_busy > stop_after:
        sys.exit("the fuse has blown")
"""

IDLE_W, BUSY_W = 2.0, 5.0


def follower(
    folder: Path,
    *,
    rate_hz: float = 20,
    late_s: float = 0,
    skew_s: float = 0,
    stop_after_s: float = 0,
    plain: bool = False,
) -> list[str]:
    """The command of a meter whose power follows the load of the agents under ``folder``.

    It prints ``unix time,watts``, or only the watts.
    """
    style = "plain" if plain else "stamped"
    words = [str(folder), str(rate_hz), str(late_s), str(skew_s), str(stop_after_s), style]
    return [sys.executable, "-c", _FOLLOWER, *words]


def printer(code: str) -> tuple[str, ...]:
    """The command of a meter that runs some lines of Python."""
    return (sys.executable, "-c", f"import json, math, os, sys, time\n{code}")


STEADY = "while True: print(3.25, flush=True); time.sleep(0.02)"


@contextmanager
def tcp_server(*pieces: bytes, pause_s: float = 0.02, forever: bool = True) -> Iterator[int]:
    """A meter on a loopback port that sends pieces to each who comes, again and again or once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    try:
                        while not stopped.is_set():
                            for piece in pieces:
                                client.sendall(piece)
                                time.sleep(pause_s)
                            if not forever:
                                break
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        stopped.set()
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@contextmanager
def serial_port(*pieces: bytes, pause_s: float = 0.02) -> Iterator[str]:
    """A meter behind a pseudo-terminal that sends pieces again and again; the path of its port."""
    ours, theirs = os.openpty()
    stopped = threading.Event()

    def send() -> None:
        while not stopped.is_set():
            for piece in pieces:
                os.write(ours, piece)
                time.sleep(pause_s)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    yield os.ttyname(theirs)
    stopped.set()
    thread.join(5)
    os.close(ours)
    os.close(theirs)
