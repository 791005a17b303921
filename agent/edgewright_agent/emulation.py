"""Whether an emulator executes this device's instructions: times taken there are no board's.

A device tree or ``/proc/cpuinfo`` can be made to say anything, so they are not asked for names. What an
emulator cannot help showing is asked for:

- *one program run by another* (qemu-user, box64, FEX, Rosetta): the kernel knows which file this process
  executes. An emulator answers ``/proc/self/exe`` with the program it runs, but not the same link under
  ``/proc/self/task``. A file made for another processor there is the emulator.
- *QEMU's machines*: they hand their configuration to the guest in a device of QEMU's own, which is in the
  device tree, among the ACPI devices, or in the firmware's tables. Such a machine may still run on the real
  processor, under KVM; that shows in a clock which only KVM offers. Without it the processor is taken for an
  emulated one.
- *QEMU's copies of boards* lack that device; their generic timer counts at 62.5 MHz, which that of no
  Raspberry Pi does.

Other hypervisors (Firecracker, VMware, Apple's) run on the real processor, and are none of this.
"""

import os
import re
import struct
from typing import Dict, List, Optional, Tuple

from .sensors.sysfs import find, text_or_empty

#: ELF's ``e_machine``, as in the kernel's include/uapi/linux/elf-em.h.
_MACHINES = {3: "x86", 40: "32-bit Arm", 62: "x86-64", 183: "64-bit Arm", 243: "RISC-V"}
_QEMU_USER = re.compile(r"qemu-[\w.-]+")
_TREES = ("sys/firmware/devicetree/base", "proc/device-tree")
#: What the kernel makes of QEMU's 62.5 MHz: twice the timer's frequency.
_QEMU_BOGOMIPS = "125.00"


def find_emulation(root: str, board: str, processors: List[Dict[str, str]], executable: str) -> str:
    """What shows that the processor is emulated, in a sentence; empty when nothing does.

    Args:
        root: where ``sys/`` and ``proc/`` are found.
        board: what the board calls itself.
        processors: of ``/proc/cpuinfo``, the keys in lower case.
        executable: the file of the running Python.
    """
    return _run_by_another(root, executable) or _qemu_machine(root) or _copied_board(board, processors)


def _run_by_another(root: str, executable: str) -> str:
    """Whether the kernel executes another file than Python's, and it is an emulator's."""
    link = os.path.join(root, "proc/self/task", str(os.getpid()), "exe")
    real, own = _elf_machine(link), _elf_machine(os.path.realpath(executable))
    name = _name_of(link)
    if real is None or own is None or (real == own and not _QEMU_USER.fullmatch(name)):
        return ""
    return f"its programs are for {_called(own)} and are run by {name or 'a program'} for {_called(real)}"


def _elf_machine(path: str) -> Optional[Tuple[int, int]]:
    """Class and machine in the header of a program; None for what is none, or cannot be read."""
    try:
        with open(path, "rb") as stream:
            header = stream.read(20)
    except OSError:
        return None
    if len(header) < 20 or header[:4] != b"\x7fELF":
        return None
    order = ">" if header[5] == 2 else "<"
    return header[4], struct.unpack(order + "H", header[18:20])[0]


def _called(machine: Tuple[int, int]) -> str:
    return _MACHINES.get(machine[1], f"processors of ELF number {machine[1]}")


def _name_of(link: str) -> str:
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return ""


def _qemu_machine(root: str) -> str:
    """Whether this is one of QEMU's virtual machines and nothing shows that KVM runs it."""
    sign = _qemu_sign(root)
    if not sign or _is_kvm(root):
        return ""
    return (
        f"it is a virtual machine of QEMU ({sign}) and shows no clock of KVM, so QEMU computes its processor"
    )


def _qemu_sign(root: str) -> str:
    for tree in _TREES:
        for compatible in find(root, f"{tree}/fw-cfg@*/compatible"):
            if "qemu" in text_or_empty(compatible):
                return "it has QEMU's firmware configuration device in its device tree"
    if find(root, "sys/bus/acpi/devices/QEMU0002*"):
        return "it has QEMU's firmware configuration device"
    for name in ("sys_vendor", "bios_vendor", "chassis_vendor"):
        if text_or_empty(os.path.join(root, "sys/class/dmi/id", name)) == "QEMU":
            return "its firmware names QEMU"
    return ""


def _is_kvm(root: str) -> bool:
    """Whether there is a clock that KVM alone offers to its guests."""
    clocks = text_or_empty(
        os.path.join(root, "sys/devices/system/clocksource/clocksource0/available_clocksource")
    )
    names = [text_or_empty(path) for path in find(root, "sys/class/ptp/*/clock_name")]
    return "kvm-clock" in clocks.split() or "KVM virtual PTP" in names


def _copied_board(board: str, processors: List[Dict[str, str]]) -> str:
    """Whether a board's generic timer counts as QEMU's does and no such board's."""
    rates = {processor.get("bogomips", "") for processor in processors}
    if "Raspberry Pi" not in board or _QEMU_BOGOMIPS not in rates:
        return ""
    return f"it calls itself {board} and its timer counts at 62.5 MHz, as QEMU's does and no Raspberry Pi's"
