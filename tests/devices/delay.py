"""A far link: frames between a device and its lab take so long each way.

Kernels without ``netem`` cannot delay, so that a process does: it relays frames between two taps. One is on
the lab's bridge in place of the device's port, the other on a bridge of its own with that port. A rate limit
of the port holds as well, so that ``node.rate("16mbit")`` and a delay together are a slow far link.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import require
from .netns import Node

_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_MOST_BYTES = 1 << 16
#: Frames under way each way at most; more are dropped, as a full queue of a router does.
_MOST_FRAMES = 4096


@contextlib.contextmanager
def delayed(node: Node, one_way_ms: float) -> Iterator[None]:
    """Each frame to and from the device takes that much longer while the block lasts."""
    require(Path("/dev/net/tun").exists(), "no /dev/net/tun")
    lab, port = node.link
    near, far, bridge = f"{port}near", f"{port}far", f"{port}br"
    words = [sys.executable, "-m", "tests.devices.delay", near, far, str(one_way_ms)]
    root = Path(__file__).resolve().parents[2]
    with contextlib.ExitStack() as undo:
        command = ["ip", "netns", "exec", lab, *words]
        relay = undo.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root))
        undo.callback(relay.kill)
        assert relay.stdout and relay.stdout.readline() == b"ready\n"
        undo.callback(_ip, lab, "link", "set", port, "master", "br0")
        _ip(lab, "link", "add", bridge, "type", "bridge")
        undo.callback(_ip, lab, "link", "del", bridge)
        for name, master in ((near, "br0"), (far, bridge), (port, bridge)):
            _ip(lab, "link", "set", name, "master", master)
        for name in (near, far, bridge):
            _ip(lab, "link", "set", name, "up")
        yield


def _ip(lab: str, *words: str) -> None:
    subprocess.run(["ip", "-n", lab, *words], check=True)


def _tap(name: str) -> int:
    """A new tap of that name; it is gone when its file is closed."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH14x", name.encode(), _TAP_WITHOUT_HEADER))
    return tap


def carry(near: str, far: str, one_way_s: float) -> None:
    """Relay frames between two new taps until killed."""
    first, second = _tap(near), _tap(far)
    other = {first: second, second: first}
    under_way: list[tuple[float, int, int, bytes]] = []
    count = 0
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for tap in select.select([first, second], [], [], wait_s)[0]:
            for frame in _frames(tap):
                if len(under_way) < _MOST_FRAMES:
                    count += 1
                    heapq.heappush(under_way, (time.monotonic() + one_way_s, count, other[tap], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, tap, frame = heapq.heappop(under_way)
            with contextlib.suppress(OSError):  # the interface is still down, or its queue is full: lost
                os.write(tap, frame)


def _frames(tap: int) -> Iterator[bytes]:
    """What has arrived."""
    while True:
        try:
            yield os.read(tap, _MOST_BYTES)
        except OSError:  # nothing more, or the interface is still down
            return


if __name__ == "__main__":
    carry(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000)
