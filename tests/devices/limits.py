"""Devices with less than this machine has: memory that all they run shares, and few processors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import require
from .hosts import until
from .netns import Node

_TREE = Path("/sys/fs/cgroup/memory")
#: Words before a device's server that leave it one processor.
ONE_PROCESSOR = ("taskset", "--cpu-list", "0")


@contextmanager
def limited_memory(node: Node, limit_bytes: int) -> Iterator[None]:
    """All that the device's server starts shares so much memory: a cgroup of version 1, see cgroups(7)."""
    require((_TREE / "memory.limit_in_bytes").exists(), "no memory controller of cgroup version 1 here")
    group = _TREE / f"edgewright-{node.netns}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        (group / "cgroup.procs").write_text(str(node.sshd.pid))
        yield
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            (_TREE / "cgroup.procs").write_text(pid)
        until(lambda: not (group / "cgroup.procs").read_text().split(), "an empty group")
        group.rmdir()
