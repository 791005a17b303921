"""Sending a device the files it lacks: asked for first, resumed, and verified there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from edgewright.errors import DiskFull, ProtocolMismatch
from edgewright.transport.streams import size_of

from .agent_link import COMMAND_S, AgentLink
from .answers import OnEvent

#: Space that must stay free beside the files, for the agent's own.
RESERVE_BYTES = 4 << 20

_HASHED_BYTES_PER_S = 1 << 20


def push(link: AgentLink, files: Mapping[str, Path], on_event: OnEvent) -> None:
    """Send those of ``files``, by SHA-256, that the device lacks.

    Raises:
        DiskFull: there is no space for them; nothing was sent.
        DeviceError: the connection broke, or what arrived is not what was sent.
    """
    missing, free = _have(link, files)
    sizes = {sha256: size_of(files[sha256]) for sha256 in missing}
    needed = sum(sizes.values())
    if missing and needed + RESERVE_BYTES > free:
        raise DiskFull(
            link.target,
            f"{needed} bytes to push and {free} free in {link.agent.root}",
            mend=f"free some space there, or: edgewright device clean {link.target}",
        )
    if missing:
        on_event({"event": "phase", "name": "push"})
    done = 0
    for sha256, size in sizes.items():
        _push_one(link, sha256, files[sha256], size, _Counter(on_event, done, needed))
        done += size


def _have(link: AgentLink, files: Mapping[str, Path]) -> tuple[list[str], int]:
    """Which of the files the device lacks, and how many bytes are free there."""
    request = json.dumps({"sha256": sorted(files)}).encode()
    event = link.ask("have", "have", stdin=request)
    missing = link.decoded(tuple[str, ...], event.get("missing"), "missing")
    free = link.decoded(int, event.get("free_bytes"), "free_bytes")
    if not set(missing) <= set(files):
        raise ProtocolMismatch(link.target, "the device asks for files that no job names")
    return list(dict.fromkeys(missing)), free


def _push_one(link: AgentLink, sha256: str, local: Path, size: int, progress: _Counter) -> None:
    """Send one file and have it admitted; once more when an earlier try had left a damaged beginning."""
    remote = f"{link.agent.root}/store/{sha256}.part"
    words = ("admit", sha256, str(size))
    limit_s = COMMAND_S + size / _HASHED_BYTES_PER_S
    for attempt in range(2):
        link.transport.put(local, remote, progress, resume=True)
        try:
            link.ask("admitted", *words, timeout_s=limit_s)
        except ProtocolMismatch:
            if attempt:
                raise
        else:
            return


class _Counter:
    """Progress of one file as progress of all."""

    def __init__(self, on_event: OnEvent, before: int, total: int) -> None:
        self._on_event = on_event
        self._before = before
        self._total = total

    def __call__(self, done: int, of: int) -> None:
        """``done`` of ``of`` bytes of this file are there."""
        del of
        event = {"event": "progress", "done": self._before + done, "of": self._total, "unit": "bytes"}
        self._on_event(event)
