"""What this device is: one look, nothing changed."""

import os
import platform
import shutil
import socket
import sys

from . import cpu
from .android import read_android
from .emulation import find_emulation
from .inventory import find_runtimes
from .protocol import Device, SensorInfo
from .sensors.environment import read_environment
from .sensors.power import POWER_SENSORS
from .sensors.sysfs import find, text_or_empty

_TREES = ("sys/firmware/devicetree/base", "proc/device-tree")


def probe(root: str = "/", store_dir: str = "", path: str = "") -> Device:
    """Describe the device.

    Args:
        root: where ``sys/`` and ``proc/`` are found.
        store_dir: where the agent will keep its files, to tell the free space there; it need not exist yet.
        path: directories to search first for the vendors' commands.
    """
    processors = cpu.read_cpuinfo(root)
    android = read_android(root, path)
    board = (android and android.board) or read_board(root)
    kernel = f"{platform.system()} {platform.release()}"
    return Device(
        hostname=socket.gethostname(),
        board=board,
        machine=platform.machine(),
        system=f"{android.version}, {kernel}" if android else kernel,
        libc=read_libc(root),
        python=platform.python_version(),
        cpu_model=cpu.model(processors),
        cpu_features=cpu.features(processors),
        cpu_count=cpu.count(root),
        ram_bytes=cpu.ram_bytes(root),
        disk_free_bytes=shutil.disk_usage(_existing(store_dir or os.curdir)).free,
        runtimes=find_runtimes(),
        sensors=tuple(_sensor(name, root, path) for name in POWER_SENSORS),
        environment=read_environment(root, path),
        soc=android.soc if android else "",
        emulation=find_emulation(root, board, processors, sys.executable),
        serial=read_serial(root),
    )


def read_board(root: str = "/") -> str:
    """The device tree's model, or the firmware's product name (x86); empty where nobody tells."""
    for tree in _TREES:
        model = text_or_empty(os.path.join(root, tree, "model"))
        if model:
            return model
    dmi = os.path.join(root, "sys/class/dmi/id")
    vendor, product = text_or_empty(f"{dmi}/sys_vendor"), text_or_empty(f"{dmi}/product_name")
    if product:
        return product if product.startswith(vendor) else f"{vendor} {product}"
    return ""


def read_serial(root: str = "/") -> str:
    """The device tree's serial number; empty elsewhere, for a PC's is told to root alone."""
    for tree in _TREES:
        serial = text_or_empty(os.path.join(root, tree, "serial-number"))
        if serial:
            return serial
    return ""


def read_libc(root: str = "/") -> str:
    """The C library, which decides the wheels that install: ``glibc 2.36``, ``musl`` or ``bionic``."""
    if hasattr(sys, "getandroidapilevel"):
        return "bionic"
    try:
        told = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        told = None
    return told or ("musl" if find(root, "lib/ld-musl-*") else "")


def _sensor(name: str, root: str, path: str) -> SensorInfo:
    sensor = POWER_SENSORS[name](root, path)
    reason = sensor.available()
    return SensorInfo(name=name, scope=sensor.scope, rails=sensor.rails, reason=reason)


def _existing(folder: str) -> str:
    """``folder`` or its nearest ancestor that exists."""
    folder = os.path.abspath(folder)
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder
