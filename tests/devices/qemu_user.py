"""An Arm userland behind its own SSH server: every program of it is Arm's, run by qemu-user.

The kernel below is this machine's, so its memory, processors and clocks are too; the device has its own
network, processes, files and name, and the ``/sys`` and ``/proc/cpuinfo`` of a board. It starts in 0.5 s.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import require, require_command
from .boards import Board, raspberry_pi_4_in_32_bits, raspberry_pi_5
from .netns import Lab, Node
from .rootfs import ARCHITECTURES, STAND_INS

_BINFMT = Path("/proc/sys/fs/binfmt_misc")

#: Words: userland, folder for its layers, a board's files, host name, the server's folder; then the server.
_ENTER = """
userland=$1 layers=$2 board=$3 name=$4 folder=$5
shift 5
mount -t tmpfs tmpfs "$layers"
mkdir "$layers/upper" "$layers/work" "$layers/root" "$layers/sys"
mount -t overlay overlay -o "lowerdir=$userland,upperdir=$layers/upper,workdir=$layers/work" "$layers/root"
cd "$layers/root"
mount -t sysfs -o ro sys "$layers/sys"
mount -t overlay overlay -o "lowerdir=$board/sys:$layers/sys" sys
mount -t proc proc proc
mount --bind "$board/proc/cpuinfo" proc/cpuinfo
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p run/sshd ".$folder"
mount --rbind "$folder" ".$folder"
hostname "$name"
exec chroot . "$@"
"""


@dataclass(frozen=True)
class Kind:
    """What there is of one architecture: how QEMU calls it, a processor it knows, and a board that has it."""

    emulator: str
    cpu: str
    board: Callable[[Path], Board]
    profile: str


KINDS = {
    "aarch64": Kind("aarch64", "cortex-a76", raspberry_pi_5, "raspberry-pi-5"),
    "armv7l": Kind("arm", "cortex-a15", raspberry_pi_4_in_32_bits, "generic-armv7l"),
}


def plug_in(lab: Lab, machine: str, *, disk: str = "1g") -> Node:
    """A device of that architecture in the lab, its server started."""
    kind = KINDS[machine]
    userland = STAND_INS / ARCHITECTURES[machine]
    require(userland.is_dir(), f"{userland} is missing: make test builds it")
    require_command("unshare", "chroot", f"qemu-{kind.emulator}-static")
    _register(f"qemu-{kind.emulator}")
    folder = lab.next_folder()
    layers, board = folder.with_name(f"{folder.name}-layers"), folder.with_name(f"{folder.name}-board")
    layers.mkdir(parents=True)
    kind.board(board)
    own = ("unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--propagation", "private")
    words = (str(userland), str(layers), str(board), f"emulated-{machine}", str(folder))
    environment = {"QEMU_CPU": kind.cpu}
    return lab.add(disk=disk, inside=(*own, "sh", "-ceu", _ENTER, "sh", *words), environment=environment)


def _register(name: str) -> None:
    """Have the kernel run foreign programs by the emulator, as Debian's package sets it up at boot."""
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], check=True)
    if (_BINFMT / name).exists():
        return
    line = Path(f"/usr/lib/binfmt.d/{name}.conf").read_text(encoding="ascii")
    with contextlib.suppress(FileExistsError):  # somebody else did it in this moment
        (_BINFMT / "register").write_text(line, encoding="ascii")
