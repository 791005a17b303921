"""What the machine Edgewright runs on is, as far as choosing a profile needs."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armv8l": "armv7l"}
_FEATURES = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)
_BOARD_FILES = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")


@dataclass(frozen=True)
class ThisMachine:
    """Architecture as Linux names it, CPU flags, and the board's own name where it has one."""

    arch: str
    features: frozenset[str]
    board: str


def this_machine(root: Path = Path("/")) -> ThisMachine:
    """Read this machine. ``root`` is where ``proc`` and ``sys`` are.

    A 32-bit Python on a 64-bit Arm kernel, as on the 32-bit Raspberry Pi OS, is an ``armv7l`` machine:
    that is what its wheels are made for.
    """
    machine = platform.machine().lower()
    arch = _MACHINES.get(machine, machine)
    if arch == "aarch64" and sys.maxsize < 1 << 32:
        arch = "armv7l"
    cpuinfo = _text(root / "proc/cpuinfo")
    features = frozenset(word for line in _FEATURES.findall(cpuinfo) for word in line.split())
    board = next(filter(None, (_text(root / file) for file in _BOARD_FILES)), "")
    return ThisMachine(arch, features, board.strip("\0 \n"))


def _text(path: Path) -> str:
    """The file's text; empty where this system has no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
