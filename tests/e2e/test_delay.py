"""The stand-in for a far link takes as long as it says, and leaves the link as it was."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

from tests.devices.delay import delayed
from tests.devices.netns import Lab, Node

#: Takes all that one client sends, then hangs up.
_SINK = """
import socket
server = socket.create_server(("", 9))
print("listening", flush=True)
link, _ = server.accept()
while link.recv(1 << 16):
    pass
"""


def answer_s(lab: Lab, node: Node) -> float:
    """How long a connection to the device's server takes: one way there and one back."""
    with lab.entered():
        started = time.perf_counter()
        with socket.create_connection((node.address, 22), 10) as link:
            took = time.perf_counter() - started
            assert link.recv(4) == b"SSH-"
    return took


def received_s(lab: Lab, node: Node, size: int) -> float:
    """How long so many bytes to the device take until the far side has them all."""
    with lab.entered(), socket.create_connection((node.address, 9), 10) as link:
        started = time.perf_counter()
        link.sendall(bytes(size))
        link.shutdown(socket.SHUT_WR)
        assert link.recv(1) == b""
        return time.perf_counter() - started


def test_frames_take_so_long_each_way(lab: Lab) -> None:
    node = lab.add()
    near = answer_s(lab, node)
    with delayed(node, 80):
        far = answer_s(lab, node)
    assert near < 0.1 and 0.16 <= far < 0.16 + 0.3
    assert answer_s(lab, node) < 0.1


def test_a_far_link_can_be_slow_as_well(lab: Lab) -> None:
    node = lab.add()
    node.rate("16mbit")
    command = ["ip", "netns", "exec", node.netns, sys.executable, "-c", _SINK]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sink, delayed(node, 80):
        assert sink.stdout and sink.stdout.readline() == b"listening\n"
        took = received_s(lab, node, 2 << 20)
    assert took > 2 * (8 << 20) / 16e6 + 0.16


def test_only_the_device_meant_is_far(lab: Lab) -> None:
    near, far = lab.add(), lab.add()
    with delayed(far, 80):
        assert answer_s(lab, near) < 0.1 <= answer_s(lab, far)
