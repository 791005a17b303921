"""What shows that a processor is emulated, on trees as real and emulated devices have them."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest
from tests.devices.tree import put

from edgewright_agent.emulation import find_emulation

PI = "Raspberry Pi 5 Model B Rev 1.0"
X86, ARM = 62, 183


def program(path: Path, machine: int) -> Path:
    """The header of a program for a processor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, machine))
    return path


def executes(root: Path, emulator: Path) -> None:
    """The kernel says that this process runs that file."""
    link = root / f"proc/self/task/{os.getpid()}/exe"
    link.parent.mkdir(parents=True)
    link.symlink_to(emulator)


def found(root: Path, board: str = PI, bogomips: str = "108.00", executable: Path | None = None) -> str:
    return find_emulation(str(root), board, [{"bogomips": bogomips}], str(executable or sys.executable))


def qemu(root: Path, tree: str = "sys/firmware/devicetree/base") -> None:
    put(root, f"{tree}/fw-cfg@9020000/compatible", b"qemu,fw-cfg-mmio\0")


def test_a_board_is_none(tmp_path: Path) -> None:
    put(tmp_path, "sys/firmware/devicetree/base/compatible", b"raspberrypi,5-model-b\0brcm,bcm2712\0")
    executes(tmp_path, Path(sys.executable).resolve())
    assert found(tmp_path) == ""


def test_this_machine_executes_python_itself() -> None:
    assert find_emulation("/", "", [], sys.executable) == ""


@pytest.mark.parametrize("name", ["qemu-aarch64-static", "aarch64-binfmt-P", "FEXInterpreter"])
def test_programs_run_by_one_for_another_processor(tmp_path: Path, name: str) -> None:
    executes(tmp_path, program(tmp_path / name, X86))
    python = program(tmp_path / "python3", ARM)
    told = found(tmp_path, executable=python)
    assert told == f"its programs are for 64-bit Arm and are run by {name} for x86-64"


def test_an_emulator_of_the_same_processor_is_known_by_name(tmp_path: Path) -> None:
    executes(tmp_path, program(tmp_path / "qemu-x86_64", X86))
    assert "qemu-x86_64" in found(tmp_path, executable=program(tmp_path / "python3", X86))


def test_a_loader_for_the_same_processor_is_no_emulator(tmp_path: Path) -> None:
    executes(tmp_path, program(tmp_path / "prooted-1234", ARM))
    assert found(tmp_path, executable=program(tmp_path / "python3", ARM)) == ""


@pytest.mark.parametrize("tree", ["sys/firmware/devicetree/base", "proc/device-tree"])
def test_qemu_s_machine_whatever_it_calls_itself(tmp_path: Path, tree: str) -> None:
    qemu(tmp_path, tree)
    assert "QEMU's firmware configuration device in its device tree" in found(tmp_path)


def test_a_machine_with_acpi_or_firmware_of_qemu(tmp_path: Path) -> None:
    put(tmp_path / "a", "sys/bus/acpi/devices/QEMU0002:00/status", 15)
    put(tmp_path / "b", "sys/class/dmi/id/sys_vendor", "QEMU")
    assert all("QEMU" in found(tmp_path / name, "") for name in "ab")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "kvm-clock tsc acpi_pm"),
        ("sys/class/ptp/ptp0/clock_name", "KVM virtual PTP"),
    ],
)
def test_under_kvm_the_processor_is_real(tmp_path: Path, path: str, text: str) -> None:
    qemu(tmp_path)
    put(tmp_path, path, text)
    assert found(tmp_path, "QEMU Virtual Machine") == ""


def test_qemu_s_copy_of_a_pi_counts_otherwise(tmp_path: Path) -> None:
    assert "62.5 MHz" in found(tmp_path, bogomips="125.00")
    assert found(tmp_path, "Some other board", bogomips="125.00") == ""


def test_other_hypervisors_run_on_the_real_processor(tmp_path: Path) -> None:
    put(tmp_path, "sys/firmware/devicetree/base/compatible", b"linux,dummy-virt\0")
    put(tmp_path, "sys/class/dmi/id/sys_vendor", "Amazon EC2")
    assert found(tmp_path, "linux,dummy-virt") == ""
