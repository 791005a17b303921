"""This process's memory, from ``/proc/self``."""

from typing import Optional, Tuple


def resident_bytes() -> int:
    """Resident set now (``VmRSS``)."""
    return _status("VmRSS")


def reset_peak() -> bool:
    """Start the high-water mark anew (Linux: 5 written to ``clear_refs``); whether that was allowed."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as stream:
            stream.write("5")
    except OSError:
        return False
    return True


def peak_bytes(was_reset: bool) -> Tuple[Optional[int], str]:
    """The high-water mark (``VmHWM``) and over what it was taken."""
    since = (
        "since the runtime was imported" if was_reset else "over the whole process: clear_refs is not allowed"
    )
    return _status("VmHWM"), f"VmHWM {since}"


def _status(key: str) -> int:
    with open("/proc/self/status", encoding="ascii") as stream:
        for line in stream:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")
