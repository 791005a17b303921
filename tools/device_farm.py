"""Four stand-ins for devices, for a person to try Edgewright with.

    make device-farm

starts them, writes ``build/device-farm/farm.toml``, and waits for Ctrl-C, which takes them away again:

    near    this machine's programs behind an SSH server, with a runtime
    far     the same, 80 ms away each way and behind 16 Mbit/s
    arm32   a bare 32-bit Arm userland, each program run by qemu-user
    pi      a bare 64-bit Arm machine that calls itself a Raspberry Pi 5

It needs root, for network namespaces. What was measured on the last two is marked as emulated.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.devices import find_command
from tests.devices.delay import delayed
from tests.devices.netns import Lab, Node
from tests.devices.qemu_user import KINDS, plug_in
from tests.devices.rootfs import STAND_INS
from tests.devices.sshd import Sshd
from tests.devices.virtual_machine import VirtualMachine

PYTHON = Path(__file__).resolve().parents[1] / "build/envs/onnxruntime/bin/python"

#: The far side of the link between this machine and the devices' network.
_HERE, _THERE, _ADDRESS = "edgewright-farm", "here", "10.99.7.254/24"
_PROGRAMS = ("ip", "nft", "tc", "sshd", "qemu-arm-static", "qemu-system-aarch64", "qemu-img", "fdtput")

_TOLD = """
Four devices are up. In another shell, in {folder}:

    edgewright device list
    edgewright device doctor near
    edgewright device trust pi --yes
    edgewright device provision pi --offline --runtime onnxruntime
    edgewright bench MODEL.onnx --device pi --preset rapid

arm32 takes tflite-runtime: edgewright device provision arm32 --offline
pi can be frozen and thawed: kill -STOP {pid}, kill -CONT {pid}

Ctrl-C ends them."""


def main(folder: Path) -> None:
    """Start the four, and end them when the process is asked to end."""
    missing = [name for name in _PROGRAMS if not find_command(name)]
    if os.geteuid() != 0 or missing or not (STAND_INS / "machine").is_dir():
        why = (
            f"{' '.join(missing)} missing: see tools/system-packages"
            if missing
            else "make device-farm needs root"
        )
        sys.exit(f"error: {why}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with contextlib.suppress(KeyboardInterrupt), _farm(folder) as pi:
            _hand_over(folder)
            sys.stdout.write(_TOLD.format(folder=folder, pid=pi.pid) + "\n")
            sys.stdout.flush()
            while True:
                signal.pause()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _farm(folder: Path) -> Iterator[VirtualMachine]:
    """All four, and the farm file."""
    with contextlib.ExitStack() as undo:
        pi = VirtualMachine(folder / "pi")
        undo.callback(pi.kill)
        pi.boot()
        lab = undo.enter_context(Lab(folder / "lab"))
        near, far, arm = lab.add(disk="1g"), lab.add(disk="1g"), plug_in(lab, "armv7l")
        far.rate("16mbit")
        undo.enter_context(delayed(far, 80))
        undo.enter_context(_reachable(near))
        (folder / "farm.toml").write_text(
            "\n".join(
                [
                    _described(near.sshd, "near", str(PYTHON), "x86-64-linux"),
                    _described(far.sshd, "far", str(PYTHON), "x86-64-linux"),
                    _described(arm.sshd, "arm32", "python3", KINDS["armv7l"].profile),
                    pi.farm_toml(),
                ]
            )
        )
        yield pi


def _described(server: Sshd, name: str, python: str, profile: str) -> str:
    return server.farm_toml(name, python=python, profile=profile)


@contextlib.contextmanager
def _reachable(node: Node) -> Iterator[None]:
    """A link between this machine and the lab's bridge."""
    lab, _ = node.link
    _ip("link", "add", _HERE, "type", "veth", "peer", "name", _THERE, "netns", lab)
    try:
        _ip("-n", lab, "link", "set", _THERE, "master", "br0", "up")
        _ip("addr", "add", _ADDRESS, "dev", _HERE)
        _ip("link", "set", _HERE, "up")
        yield
    finally:
        _ip("link", "del", _HERE)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _hand_over(folder: Path) -> None:
    """Give the farm file and the keys to whom sudo works for."""
    owner, group = (int(os.environ.get(name, "0")) for name in ("SUDO_UID", "SUDO_GID"))
    own = [folder, *folder.glob("farm.toml"), *folder.glob("*/client_key"), *folder.glob("lab/*/client_key")]
    for path in [*own, folder / "pi", *folder.glob("lab/*/known_hosts")]:
        os.chown(path, owner, group)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
