"""A phone's side of the Android debug bridge: the real ``adbd``, beside the SSH server of a lab's device.

The phone's system is this machine's, seen through a root of its own that has what Android has and Debian has
not: ``/system/bin`` with ``getprop`` and ``dumpsys``, whose answers a test sets, and a small
``/data/local/tmp``. The Python and the runtime of the tests are therefore there too. Its processor, memory
and clock are the host's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgewright.transport.adb_address import AdbAddress

from . import require, require_command, tree
from .boards import PIXEL
from .netns import Lab, Node
from .rootfs import STAND_INS

ADBD = STAND_INS / "adbd"
PORT = 5555
SERVER_PORT = 5038
_START_S = 15.0

#: Answers with the file named by its words, as Android's commands do with nothing where there is none.
_COMMAND = """#!/bin/sh
answer="/system/run/${0##*/}/$(echo "$*" | tr ' /' '__')"
[ -f "$answer" ] && exec cat "$answer"
[ "${0##*/}" = getprop ] && echo || echo "Can't find service: $1" >&2
"""

#: Words: what is to be ``/system``, the disk's size, the command to run.
_ROOT = """
set -eu
system=$1 disk=$2; shift 2
mount -t tmpfs phone /mnt
for place in /*; do
  case $place in /mnt|/data|/system) continue;; esac
  if [ -L "$place" ]; then cp -P "$place" /mnt/
  elif [ -d "$place" ]; then mkdir "/mnt$place"; mount --rbind "$place" "/mnt$place"; fi
done
mkdir -p /mnt/data/local/tmp /mnt/system
mount -t tmpfs -o "size=$disk" data /mnt/data/local/tmp
mount --bind "$system" /mnt/system
exec chroot /mnt "$@"
"""


class Phone:
    """One phone, on the link of a lab's device."""

    def __init__(self, node: Node, folder: Path, disk: str = "64m") -> None:
        require(os.geteuid() == 0, "a root of its own needs root")
        require_command("adb", "ip", "unshare")
        require(ADBD.is_dir(), f"{ADBD} is missing: make test builds it")
        self.node = node
        self._folder = folder
        self._disk = disk
        self._process: subprocess.Popen[bytes] | None = None
        self._mounts = ""
        folder.mkdir(parents=True)
        for name in ("getprop", "dumpsys"):
            tree.program(folder, name, _COMMAND)
        (folder / "bin").symlink_to("usr/bin")
        for name, value in PIXEL.items():
            self.answer("getprop", name, value)

    @property
    def address(self) -> AdbAddress:
        return AdbAddress(f"{self.node.address}:{PORT}")

    @property
    def home(self) -> Path:
        """Its ``/data/local/tmp``, as seen from here."""
        assert self._process
        return Path(f"/proc/{self._process.pid}/root/data/local/tmp")

    def answer(self, command: str, words: str, text: str) -> None:
        """What a command says to these words from now on."""
        tree.put(self._folder, f"run/{command}/{words.replace(' ', '_').replace('/', '_')}", text)

    def farm_toml(self, name: str = "phone", *, python: str = "python3") -> str:
        """The lines of a farm file for it."""
        return (
            f'[devices.{name}]\nprofile = "android-arm64"\naddress = "{self.address}"\n'
            f'python = "{python}"\nworkdir = "edgewright"\n'
        )

    def start(self) -> Phone:
        """Start adbd; returns when it listens."""
        library = ADBD / "usr/lib/x86_64-linux-gnu"
        loader = [str(library / "ld-linux-x86-64.so.2"), "--library-path", f"{library}:{library}/android"]
        adbd = [*loader, str(ADBD / "usr/lib/android-sdk/platform-tools/adbd")]
        environment = ["PATH=/system/bin:/usr/bin:/bin", "HOME=/", "SHELL=/bin/sh", f"ADBD_PORT={PORT}"]
        own_root = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ROOT, "sh"]
        arguments = [str(self._folder), self._disk, "env", "-i", *environment, *adbd]
        words = ["ip", "netns", "exec", self.node.netns, *own_root, *arguments]
        self._process = _started(words, PORT, self._folder / "log", dict(os.environ))
        self._mounts = str(Path(f"/proc/{self._process.pid}/ns/mnt").readlink())
        return self

    def stop(self) -> None:
        """End adbd and all that runs on the phone, as when its battery is pulled."""
        if self._process is None:
            return
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def processes(self) -> list[int]:
        """All that run on it, adbd included."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and str((entry / "ns/mnt").readlink()) == self._mounts:
                    found.append(int(entry.name))
        return found


class AdbServer:
    """The host's side: an adb server in the lab, with a home and so with keys of its own."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        require_command("adb")
        folder.mkdir(parents=True)
        self._lab = lab
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What leads a client to it."""
        return {"HOME": str(self._folder), "ANDROID_ADB_SERVER_PORT": str(SERVER_PORT)}

    def start(self) -> AdbServer:
        """Start it; returns when it listens."""
        words = self._lab.command("adb", "-P", str(SERVER_PORT), "nodaemon", "server")
        self._process = _started(words, SERVER_PORT, self._folder / "log", {**os.environ, **self.environment})
        return self

    def freeze(self) -> None:
        """It answers nobody any more, and its connections stay open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def end_other(self) -> None:
        """End the one that somebody else started in its place."""
        words = self._lab.command("adb", "-P", str(SERVER_PORT), "kill-server")
        subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, check=True, timeout=20
        )

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


def _started(
    words: Sequence[str], port: int, log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """A process that listens on ``port``."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=dict(environment),
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_S
    while not _listens(process.pid, port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"{words[-1]} did not start: {log.read_text(errors='replace')}")
        time.sleep(0.01)
    return process


def _listens(pid: int, port: int) -> bool:
    """Whether somebody listens on ``port`` in the network of that process."""
    found = False
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            lines = [line.split() for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
            found |= any(words[1].endswith(f":{port:04X}") and words[3] == "0A" for words in lines)
    return found
