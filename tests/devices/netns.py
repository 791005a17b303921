"""Devices in network namespaces: each with its own address, SSH server and small disk, and links that fail.

Everything lives in a lab of its own: one namespace stands for the host's side of the network, so the
machine's own interfaces are never touched. Code that is to reach a device runs inside
:meth:`Lab.entered`, which moves the calling thread there; sockets keep the namespace they were made in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import require, require_command
from .sshd import Place, Sshd

_CLONE_NEWNET = 0x40000000
_NET = "10.99.7"
_counter = iter(range(1, 1 << 16))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


class Lab:
    """A network with a bridge that devices are plugged into."""

    def __init__(self, folder: Path) -> None:
        require(os.geteuid() == 0, "network namespaces need root")
        require_command("ip", "nft", "tc")
        self._folder = folder
        self._name = f"ewlab{os.getpid()}x{next(_counter)}"
        self._devices: list[Node] = []
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Lab:
        try:
            _run("ip", "netns", "add", self._name)
        except RuntimeError as error:
            require(False, f"no network namespaces here: {error}")
        self._undo.callback(_run, "ip", "netns", "del", self._name)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", "br0", "type", "bridge")
        self._ip("addr", "add", f"{_NET}.1/24", "dev", "br0")
        self._ip("link", "set", "br0", "up")
        return self

    def __exit__(self, *exception: object) -> None:
        for device in reversed(self._devices):
            device.remove()
        self._undo.close()

    def _ip(self, *words: str) -> None:
        _run("ip", "-n", self._name, *words)

    def add(
        self,
        *,
        disk: str = "64m",
        settings: Sequence[str] = (),
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Node:
        """Plug in one more device and start its server.

        Args:
            disk: its size, as tmpfs takes it.
            settings: more lines for ``sshd_config``.
            inside: the words of a command that runs the server among other files than this machine's.
            environment: more of what a session finds in its environment.
        """
        node = Node(self._name, len(self._devices) + 1, self._folder, disk)
        self._devices.append(node)
        node.start(settings, inside, environment or {})
        return node

    def next_folder(self) -> Path:
        """Where the files of the device that is plugged in next will be."""
        return self._folder / f"device{len(self._devices) + 1}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in the lab for the block: sockets it makes there reach the devices."""
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        lab = os.open(f"/run/netns/{self._name}", os.O_RDONLY)
        try:
            _enter(lab)
            yield
        finally:
            _enter(home)
            os.close(lab)
            os.close(home)

    def command(self, *words: str) -> list[str]:
        """The words of a command that is to run in the lab."""
        return ["ip", "netns", "exec", self._name, *words]


class Node:
    """One device of a lab."""

    sshd: Sshd

    def __init__(self, lab: str, number: int, folder: Path, disk: str) -> None:
        self._lab = lab
        self.netns = f"{lab}d{number}"
        self._port = f"port{number}"
        self.address = f"{_NET}.{10 + number}"
        self._folder = folder / f"device{number}"
        self._undo = contextlib.ExitStack()
        self._disk = disk

    @property
    def disk(self) -> Path:
        """The small disk; the device's home is on it."""
        return self._folder / "home"

    def start(
        self,
        settings: Sequence[str] = (),
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Make namespace, link and disk, and start the server."""
        _run("ip", "netns", "add", self.netns)
        self._undo.callback(_run, "ip", "netns", "del", self.netns)
        ends = ("type", "veth", "peer", "name", "eth0", "netns", self.netns)
        _run("ip", "-n", self._lab, "link", "add", self._port, *ends)
        _run("ip", "-n", self._lab, "link", "set", self._port, "master", "br0", "up")
        _run("ip", "-n", self.netns, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _run("ip", "-n", self.netns, "link", "set", "eth0", "up")
        _run("ip", "-n", self.netns, "link", "set", "lo", "up")
        self.disk.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={self._disk},mode=755", self.netns, str(self.disk))
        self._undo.callback(_run, "umount", "--lazy", str(self.disk))
        self._undo.callback(self._end_all)
        place = Place(self.address, 22, ("ip", "netns", "exec", self.netns, *inside))
        self.sshd = Sshd(self._folder, place, settings, dict(environment or {}))
        self._undo.callback(self.sshd.stop)
        self.sshd.start()

    def processes(self) -> list[int]:
        """All that runs there: jobs outlive the connection that began them, and the server."""
        done = subprocess.run(["ip", "netns", "pids", self.netns], capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    def _end_all(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def link(self) -> tuple[str, str]:
        """The lab's namespace, and the port of its bridge that this device is plugged into."""
        return self._lab, self._port

    def remove(self) -> None:
        """Take it all away again."""
        self._undo.close()

    def cut(self) -> None:
        """A black hole from now on: nothing is refused, nothing arrives."""
        _run("ip", "-n", self._lab, "link", "set", self._port, "down")

    def heal(self) -> None:
        """Undo :meth:`cut`."""
        _run("ip", "-n", self._lab, "link", "set", self._port, "up")

    def rate(self, rate: str) -> None:
        """Limit what reaches the device, for example ``16mbit``."""
        limit = ("root", "tbf", "rate", rate, "burst", "16kb", "latency", "100ms")
        self._in_lab("tc", "qdisc", "replace", "dev", self._port, *limit)

    def lose(self, percent: int) -> None:
        """Drop that share of the packets that come from the device."""
        table, hook = f"netdev {self._port}", f"type filter hook ingress device {self._port} priority 0;"
        self._in_lab("nft", f"add table {table}; add chain {table} c {{ {hook} }}")
        self._in_lab("nft", f"add rule {table} c numgen random mod 100 < {percent} drop")

    def _in_lab(self, *words: str) -> None:
        _run("ip", "netns", "exec", self._lab, *words)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
