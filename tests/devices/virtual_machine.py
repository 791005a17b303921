"""A whole aarch64 machine as a device: its own kernel, memory, clock and disk, all emulated by QEMU.

Its device tree says Raspberry Pi 5. It can be frozen, cut off from power and booted again, as no server in a
namespace can; what it measures says nothing about the speed of a board.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from edgewright.farm.inventory import SshAddress

from . import require, require_command
from .rootfs import STAND_INS
from .sshd import free_port

BOARD = "Raspberry Pi 5 Model B Rev 1.0"
_COMPATIBLE = ("raspberrypi,5-model-b", "brcm,bcm2712")
_MACHINE = ("-M", "virt,gic-version=3", "-cpu", "cortex-a76", "-accel", "tcg,thread=multi", "-smp", "2")
_BOOT_S = 120.0
_USER = "root"


class VirtualMachine:
    """One machine whose disk starts as the image and lives under ``folder``."""

    def __init__(self, folder: Path, *, memory_mb: int = 1024) -> None:
        require_command("qemu-system-aarch64", "qemu-img", "fdtput", "ssh-keygen")
        self._image = STAND_INS / "machine"
        require(self._image.is_dir(), f"{self._image} is missing: make test builds it")
        folder.mkdir(parents=True)
        self._folder = folder
        self._memory = ("-m", str(memory_mb))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.known_hosts = folder / "known_hosts"
        self.client_key = shutil.copy(self._image / "client_key", folder / "client_key")
        backing = self._image / "disk.ext4"
        words = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(backing), str(folder / "disk.qcow2")]
        subprocess.run(["qemu-img", *words], check=True)
        self._make_tree()

    def _make_tree(self) -> None:
        """QEMU's own device tree for this machine, with a board's name in it."""
        tree = str(self._folder / "board.dtb")
        machine = (_MACHINE[0], f"{_MACHINE[1]},dumpdtb={tree}", *_MACHINE[2:], *self._memory)
        words = ["qemu-system-aarch64", *machine, *self._devices(), "-display", "none"]
        subprocess.run(words, check=True, capture_output=True)
        subprocess.run(["fdtput", "-t", "s", tree, "/", "model", BOARD], check=True)
        subprocess.run(["fdtput", "-t", "s", tree, "/", "compatible", *_COMPATIBLE], check=True)

    def _devices(self) -> tuple[str, ...]:
        """Disk, network and a source of randomness; nothing but this host's loopback reaches the network."""
        forward = f"hostfwd=tcp:127.0.0.1:{self.port}-:22"
        disk = f"file={self._folder / 'disk.qcow2'},format=qcow2,if=none,id=disk"
        return (
            *("-drive", disk, "-device", "virtio-blk-device,drive=disk"),
            *("-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-device,netdev=net"),
            *("-device", "virtio-rng-device"),
        )

    @property
    def pid(self) -> int:
        """Of QEMU."""
        assert self._process
        return self._process.pid

    @property
    def console(self) -> str:
        """What the kernel said since the last boot."""
        return (self._folder / "console").read_text(errors="replace")

    def boot(self) -> VirtualMachine:
        """Start it; returns when its SSH server answers."""
        assert self._process is None
        words = ["qemu-system-aarch64", *_MACHINE, *self._memory, *self._devices()]
        words += ["-dtb", str(self._folder / "board.dtb"), "-nographic", "-no-reboot"]
        words += ["-kernel", str(self._image / "vmlinuz"), "-initrd", str(self._image / "initrd.gz")]
        words += ["-append", "console=ttyAMA0 loglevel=4 panic=-1"]
        with (self._folder / "console").open("wb") as console:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return self

    def _wait(self) -> None:
        assert self._process
        deadline = time.monotonic() + _BOOT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the machine did not boot: {self.console[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether the guest's own server greets; QEMU accepts connections whatever the guest does."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as link:
                link.settimeout(2)
                return link.recv(4) == b"SSH-"
        except OSError:
            return False

    def kill(self) -> None:
        """Cut the power: what the guest had not flushed to its disk is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
            subprocess.run([*self._ssh(), "-O", "exit"], capture_output=True, timeout=10)

    def freeze(self) -> None:
        """Stop all its processors at once; its clock does not go on either."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    def run(self, *words: str, timeout_s: float = 60.0) -> str:
        """What a shell command in the guest prints, its two streams together; it must succeed."""
        done = subprocess.run(
            [*self._ssh(), " ".join(words)], capture_output=True, text=True, timeout=timeout_s
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def _ssh(self) -> Sequence[str]:
        trusted = self._folder / "trusted"
        trusted.write_text(f"[127.0.0.1]:{self.port} {self.public_key()}\n")
        settings = (f"UserKnownHostsFile={trusted}", "BatchMode=yes", "LogLevel=ERROR")
        shared = ("ControlMaster=auto", "ControlPersist=yes", f"ControlPath={self._folder / 'link'}")
        options = [word for setting in (*settings, *shared) for word in ("-o", setting)]
        return (
            "ssh",
            "-F",
            "none",
            *options,
            "-i",
            str(self.client_key),
            "-p",
            str(self.port),
            f"{_USER}@127.0.0.1",
        )

    def public_key(self) -> str:
        """Type and key of its server, without the comment."""
        return " ".join((self._image / "host_key.pub").read_text().split()[:2])

    def fingerprint(self) -> str:
        """The server's, as ssh-keygen computes it."""
        words = ["ssh-keygen", "-l", "-f", str(self._image / "host_key.pub")]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[1]

    def address(self) -> SshAddress:
        """The way to it."""
        return SshAddress("127.0.0.1", _USER, self.port, Path(self.client_key), self.known_hosts)

    def farm_toml(self, name: str = "pi") -> str:
        """The lines of a farm file for it; the host key is yet to be trusted."""
        return (
            f"[devices.{name}]\n"
            'profile = "raspberry-pi-5"\n'
            f'address = "{_USER}@127.0.0.1"\n'
            f"port = {self.port}\n"
            f'key = "{self.client_key}"\n'
            f'known_hosts = "{self.known_hosts}"\n'
        )
