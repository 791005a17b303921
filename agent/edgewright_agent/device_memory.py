"""Memory which an accelerator's driver took and the process's resident set does not show.

On NVIDIA Jetson, processor and GPU share one memory; what CUDA allocates goes through the driver ``nvmap``.
Root sees it by process, in ``/sys/kernel/debug/nvmap/iovmm/clients``::

    CLIENT                        PROCESS      PID        SIZE
    user                           python     4961      70800K
    total                                              317404K

Everybody sees the whole machine's ``NvMapMemUsed`` in ``/proc/meminfo``, where the kernel has it.
"""

import os
import re
from typing import Optional, Tuple

from .sensors.sysfs import DeniedError, SensorError, read_text, text_or_empty

_CLIENTS = "sys/kernel/debug/nvmap/iovmm/clients"
_CLIENT = re.compile(
    r"^\s*\S+\s+\S.*?\s+(?P<pid>\d+)\s+(?P<size>\d+)(?P<unit>[KMG]?)B?\s*$", re.MULTILINE | re.ASCII
)
_USED = re.compile(r"^NvMapMemUsed:\s+(?P<kilobytes>\d+) kB", re.MULTILINE | re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class DeviceCounter:
    """What an accelerator holds for this process, or how much more it holds than when this was made."""

    def __init__(self, root: str = "/", pid: Optional[int] = None) -> None:
        self._root = root
        self._pid = os.getpid() if pid is None else pid
        self._used_before = self._used()

    def read(self) -> Tuple[Optional[int], str]:
        """Bytes and what they cover, or None and why nobody tells."""
        used = self._used()
        try:
            table = read_text(os.path.join(self._root, _CLIENTS))
        except DeniedError as error:
            refusal = f"{error} (run the agent as root to see this process's own)"
        except SensorError:
            refusal = ""
        else:
            own = [m for m in _CLIENT.finditer(table) if int(m.group("pid")) == self._pid]
            if own:
                total = sum(int(m.group("size")) * _UNITS[m.group("unit")] for m in own)
                return total, "nvmap's memory of this process"
            refusal = "nvmap lists no memory of this process"
        if used is None or self._used_before is None:
            return None, refusal or "no accelerator here whose driver tells its memory"
        if used < self._used_before:
            return (
                None,
                "the machine's NvMapMemUsed fell during the run: another process let go of memory",
            )
        how = "increase of the whole machine's NvMapMemUsed since the runtime was imported"
        return used - self._used_before, f"{how}; {refusal}" if refusal else how

    def _used(self) -> Optional[int]:
        found = _USED.search(text_or_empty(os.path.join(self._root, "proc/meminfo")))
        return int(found.group("kilobytes")) * 1024 if found else None
