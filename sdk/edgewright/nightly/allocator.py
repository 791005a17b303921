"""How the host's C library keeps the memory that threads have given back."""

from __future__ import annotations

import ctypes
import platform

#: Of ``mallopt(3)``: how many arenas threads share, and from which size on a block is a mapping of its own.
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
_ARENAS, _MAPPED_BYTES = 2, 1 << 17


def give_memory_back() -> None:
    """Have few arenas, and blocks of any size that matters back with the system once they are freed.

    A farm has a few threads a device, each of which now and then holds a result of a megabyte. By default
    glibc gives them up to eight arenas a processor, and keeps in each what was once needed there: with 24
    devices that was more than all else. Another C library is left as it is.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_ARENA_MAX, _ARENAS)
    library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
