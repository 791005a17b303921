"""Sending a device the files it lacks: asked for first, gone on with after a break, and verified there."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.errors import DeviceBusy, DiskFull, ProtocolMismatch
from edgewright.transport.streams import size_of
from edgewright_agent.protocol_push import Delivery, Inquiry, Parcel, Stock

from .agent_link import COMMAND_S, AgentLink
from .answers import OnEvent
from .flow import Flow
from .pushed import PushedFile, PushedFiles
from .sending import Order, Sender

#: Space that must stay free beside the files, for the agent's own.
RESERVE_BYTES = 4 << 20

#: Who holds what was asked for: this process.
_HOLDER = f"{os.getpid()}-{os.urandom(6).hex()}"

_SLOWEST_BYTES_PER_S = 16384
_RATE_WINDOW_S = 8.0

#: How long to wait for another host that is sending the same file, and how often to look.
_BUSY_S, _LOOK_S = 1800.0, 1.0
_OTHER = "another host that sends the same file"


def push(link: AgentLink, files: Mapping[str, Path], on_event: OnEvent) -> None:
    """Send those of ``files``, by SHA-256, that the device lacks.

    They travel compressed, or as changes to files the device has, where that is faster. What does not turn
    out there as it is here is sent once more, without such changes.

    Raises:
        DiskFull: there is no space for them; nothing was sent.
        DeviceError: the connection broke, or what arrived is not what was sent.
    """
    sizes = {sha256: size_of(path) for sha256, path in files.items()}
    record = PushedFiles()
    bases = {sha256: record.bases(files[sha256], size) for sha256, size in sizes.items()}
    until = time.monotonic() + _BUSY_S
    is_retry = is_waiting = False
    while True:
        try:
            _Push(link, files, sizes, bases, on_event).run()
            break
        except ProtocolMismatch as error:
            if is_retry:
                raise
            is_retry, bases = True, {}
            on_event({"event": "phase", "name": "push-again", "why": error.message[:200]})
        except DeviceBusy:
            if time.monotonic() > until:
                raise
            if not is_waiting:
                on_event({"event": "phase", "name": "waiting", "for": _OTHER})
            is_waiting = True
            time.sleep(_LOOK_S)
    record.remember(files)


@dataclass(frozen=True)
class _Push:
    """One try.

    Attributes:
        bases: of each file, those that the device may hold and it may resemble.
    """

    link: AgentLink
    files: Mapping[str, Path]
    sizes: Mapping[str, int]
    bases: Mapping[str, Sequence[PushedFile]]
    on_event: OnEvent

    def run(self) -> None:
        """Ask, and send what is missing."""
        inquiry = Inquiry(
            tuple(sorted(self.files)), tuple(sorted(self._resembling())), self.link.store_limit_bytes, _HOLDER
        )
        sender = Sender(inquiry, self.files)
        progress = _Progress(self.link.target, self.on_event, sender.flow)

        is_answered = False

        def on_stock(event: Mapping[str, Any]) -> None:
            nonlocal is_answered
            is_answered = True
            stock = self._checked(event)
            if stock.missing:
                self._check_room(stock)
                self.on_event({"event": "phase", "name": "push"})
                progress.total = sum(self.sizes[sha256] for sha256 in stock.missing)
                sender.order(Order(self._delivery(stock), self._held(stock), stock.packings))

        limit_s = COMMAND_S + sum(self.sizes.values()) / _SLOWEST_BYTES_PER_S
        try:
            self.link.ask(
                "received",
                "receive",
                stdin=sender.pieces(),
                timeout_s=limit_s,
                on_event=progress,
                on_answer={"stock": on_stock},
            )
        except ProtocolMismatch:
            if sender.problem:
                raise sender.problem from None
            raise
        finally:
            sender.flow.close()
        if not is_answered:
            raise ProtocolMismatch(self.link.target, "the device does not say what it lacks")

    def _resembling(self) -> set[str]:
        return {file.sha256 for found in self.bases.values() for file in found} - set(self.files)

    def _checked(self, event: Mapping[str, Any]) -> Stock:
        """What the device lacks and what it could take."""
        stock = self.link.decoded(Stock, event.get("stock"), "stock")
        if not {*stock.missing, *stock.partial} <= set(self.files):
            raise ProtocolMismatch(self.link.target, "the device asks for files that no job names")
        if len(set(stock.missing)) != len(stock.missing):
            raise ProtocolMismatch(self.link.target, "the device asks for a file twice")
        return stock

    def _check_room(self, stock: Stock) -> None:
        link = self.link
        wanted = sum(self.sizes[sha256] - self._there(stock, sha256) for sha256 in stock.missing)
        if wanted + RESERVE_BYTES > stock.free_bytes:
            raise DiskFull(
                link.target,
                f"{wanted} bytes to push and {max(0, stock.free_bytes)} free in {link.agent.root}",
                mend=f"free some space there, or: edgewright device clean {link.target}",
            )
        if wanted > stock.allowed_bytes:
            raise DiskFull(
                link.target,
                f"{wanted} bytes to push, and a limit of {stock.limit_bytes} for all that is kept there",
                mend=f"raise store_limit of {link.target} in the farm file",
            )

    def _there(self, stock: Stock, sha256: str) -> int:
        """How much of a file arrived earlier; a part that is longer than the file is none of it."""
        there = stock.partial.get(sha256, 0)
        return there if 0 <= there <= self.sizes[sha256] else 0

    def _delivery(self, stock: Stock) -> Delivery:
        """The largest file first, by which the link can be measured best."""
        parcels = [Parcel(sha256, self.sizes[sha256], self._there(stock, sha256)) for sha256 in stock.missing]
        return Delivery(tuple(sorted(parcels, key=lambda parcel: parcel.from_bytes - parcel.size_bytes)))

    def _held(self, stock: Stock) -> dict[str, list[PushedFile]]:
        """Those of the bases that the device has."""
        held = {*stock.bases, *(set(self.files) - set(stock.missing))}
        return {
            sha256: [file for file in found if file.sha256 in held] for sha256, found in self.bases.items()
        }


class _Progress:
    """What the device says has arrived: for the sender what travelled, for people with rate and time left."""

    def __init__(self, target: str, on_event: OnEvent, flow: Flow) -> None:
        self._target = target
        self._on_event = on_event
        self._flow = flow
        self.total = 0
        self._seen: deque[tuple[float, int]] = deque()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """One event of the device."""
        done, sent = event.get("done"), event.get("sent")
        if not isinstance(done, int) or not isinstance(sent, int) or not 0 <= done <= self.total or sent < 0:
            raise ProtocolMismatch(self._target, "the device tells of more than was sent to it")
        self._flow.heard(sent)
        told: dict[str, Any] = {"event": "progress", "done": done, "of": self.total, "unit": "bytes"}
        self._on_event({**told, "sent": sent, **self._speed(done)})

    def _speed(self, done: int) -> dict[str, float]:
        """Over the last seconds; nothing before there is something to tell it from."""
        now = time.monotonic()
        self._seen.append((now, done))
        while now - self._seen[0][0] > _RATE_WINDOW_S and len(self._seen) > 2:
            self._seen.popleft()
        began, before = self._seen[0]
        if now <= began or done <= before:
            return {}
        rate = (done - before) / (now - began)
        return {"rate_bytes_per_s": rate, "left_s": (self.total - done) / rate}
