"""This process's memory and what is left of the machine's, from ``/proc``.

Source: the kernel's Documentation/filesystems/proc.rst, under VmRSS, VmHWM, clear_refs and smaps_rollup.
"""

import os
from typing import Optional, Tuple

from .device_memory import DeviceCounter
from .protocol import Memory

_SELF = "/proc/self"


class MemoryWatch:
    """The process's memory from here on: made when the runtime is imported and the model is not.

    Args:
        proc: this process's folder under ``/proc``.
        root: where ``sys/`` and ``proc/`` are found, for the counters of accelerators.
    """

    def __init__(self, proc: str = _SELF, root: str = "/") -> None:
        self._proc = proc
        self._device = DeviceCounter(root)
        self._baseline = resident_bytes(proc)
        self._was_reset = reset_peak(proc)
        self._peak_before = _status("VmHWM", proc)
        self._loaded = self._baseline

    def loaded(self) -> None:
        """Now the model is loaded."""
        self._loaded = resident_bytes(self._proc)

    def seen(self) -> Memory:
        """All that is known now, with the steady state over and nothing timed any more."""
        peak, how = self._peak()
        pss, pss_note = pss_bytes(self._proc)
        device, device_note = self._device.read()
        return Memory(
            baseline_bytes=self._baseline,
            loaded_bytes=self._loaded,
            peak_bytes=peak,
            peak_method=how,
            pss_bytes=pss,
            device_bytes=device,
            notes={"pss": pss_note, "device": device_note},
        )

    def _peak(self) -> Tuple[Optional[int], str]:
        """The high-water mark and over what it was taken."""
        peak = _status("VmHWM", self._proc)
        if peak is None or self._peak_before is None:
            return None, "this kernel tells no high-water mark (VmHWM)"
        if self._was_reset:
            return peak, "VmHWM since the runtime was imported"
        how = "VmHWM over the whole process: clear_refs is not allowed"
        if peak <= self._peak_before:
            how += "; importing the runtime took as much, so the model's own peak is at most this"
        return peak, how


def resident_bytes(proc: str = _SELF) -> int:
    """Resident set now (``VmRSS``)."""
    found = _status("VmRSS", proc)
    if found is None:
        raise OSError(f"{proc}/status has no VmRSS")
    return found


def reset_peak(proc: str = _SELF) -> bool:
    """Start the high-water mark anew (Linux: 5 written to ``clear_refs``); whether that was allowed."""
    try:
        with open(os.path.join(proc, "clear_refs"), "w", encoding="ascii") as stream:
            stream.write("5")
    except OSError:
        return False
    return True


def pss_bytes(proc: str = _SELF) -> Tuple[Optional[int], str]:
    """Proportional set size: pages shared with other processes count for their share. Walks every page.

    Returns:
        The bytes and where from, or None and why it cannot be read.
    """
    for name in ("smaps_rollup", "smaps"):
        path = os.path.join(proc, name)
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                kilobytes = [int(line.split()[1]) for line in stream if line.startswith("Pss:")]
        except FileNotFoundError:
            continue  # smaps_rollup came with Linux 4.14
        except OSError as error:
            return None, f"{path} cannot be read: {error.strerror}"
        if kilobytes:
            return sum(kilobytes) * 1024, f"{name}, after the steady state"
    return None, "this kernel tells no proportional set size (smaps_rollup)"


def available_bytes() -> Optional[int]:
    """What can be taken without swapping (``MemAvailable``); None where the kernel does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def _status(key: str, proc: str) -> Optional[int]:
    with open(os.path.join(proc, "status"), encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return None
