"""The scheduler and the workers, as the farm speaks with them; each call is a connection of its own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError, TransportError

from . import dask
from .documents import Blob, Job, Order, Report, pack, unpack
from .files import Incoming, Shelf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: To connect to a worker that is there, and for an answer that takes no work.
_CONNECT_S = 10
_EVENT_BYTES = 64 << 10


class Refused(EdgewrightError):
    """A worker is there, and does not do what it is asked."""


@dataclass(frozen=True)
class Member:
    """A worker as the scheduler knows it."""

    address: str
    sites: tuple[str, ...]


class Calls:
    """Every method raises OSError when the other side is not there, or goes away.

    Args:
        scheduler: its address.
        tls: of this process.
    """

    def __init__(self, scheduler: str, tls: dask.Tls | None) -> None:
        self._package = dask.distributed()
        self._scheduler = dask.check_address(scheduler, tls)
        self._arguments = dask.security(tls).get_connection_args("client")

    async def members(self) -> tuple[Member, ...]:
        """The workers that are with the scheduler."""
        found = await self._ask(self._scheduler, "identity")
        workers = found.get("workers", {}) if isinstance(found, dict) else {}
        return tuple(
            Member(str(address), tuple(sorted(_sites(told)))) for address, told in sorted(workers.items())
        )

    async def order(
        self, worker: str, job: Job, order: Order, tell: Callable[[Mapping[str, Any]], None]
    ) -> Report:
        """Have an order done; ``tell`` is called with what the device says meanwhile."""
        async with self._connected(worker) as comm:
            await comm.write({"op": dask.ORDER, "job": pack(job), "order": pack(order)})
            while True:
                message = await comm.read()
                if not isinstance(message, dict):
                    raise TransportError(worker, "not an answer as expected")
                if "report" in message:
                    return unpack(Report, message["report"], worker)
                if event := _event(message.get("event")):
                    tell(event)

    async def stop(self, worker: str, run_id: str) -> None:
        """End what goes on there for a run."""
        await self._ask(worker, dask.STOP, run_id=run_id)

    async def send(self, worker: str, blobs: Sequence[Blob], shelf: Shelf) -> None:
        """Have a worker hold these files.

        Raises:
            Refused: it does not take one.
        """
        wanted = {blob.sha256: blob for blob in blobs}
        missing = await self._ask(worker, dask.MISSING, blobs=[pack(blob) for blob in wanted.values()])
        for blob in [wanted[str(sha256)] for sha256 in missing if str(sha256) in wanted]:
            async with self._connected(worker) as comm:
                transfer = uuid.uuid4().hex
                for part in shelf.parts(blob):
                    message = {"op": dask.PUT, "blob": pack(blob), "transfer": transfer, "data": part}
                    await comm.write(message)
                    if why := await comm.read():
                        raise Refused(f"{worker}: {why}")

    async def fetch(self, worker: str, blobs: Sequence[Blob], shelf: Shelf) -> None:
        """Get files that were built there.

        Raises:
            Refused: one is not there any more.
            VerificationError: one is not what it was said to be.
        """
        for blob in blobs:
            if not shelf.has(blob):
                async with self._connected(worker) as comm:
                    await _fetched(comm, worker, blob, Incoming(shelf, blob))

    async def _ask(self, address: str, operation: str, **more: Any) -> Any:
        async with self._connected(address) as comm:
            await comm.write({"op": operation, **more})
            return await comm.read()

    @asynccontextmanager
    async def _connected(self, address: str) -> AsyncIterator[Any]:
        comm = await self._package.comm.connect(address, timeout=_CONNECT_S, **self._arguments)
        try:
            yield comm
        finally:
            comm.abort()


async def _fetched(comm: Any, worker: str, blob: Blob, incoming: Incoming) -> None:
    offset = 0
    try:
        while offset == 0 or not incoming.is_complete:
            await comm.write({"op": dask.FETCH, "blob": pack(blob), "offset": offset})
            part = await comm.read()
            if isinstance(part, str) or not (part or incoming.is_complete or not blob.size_bytes):
                raise Refused(f"{worker}: {part or 'the file ended early'}")
            incoming.add(bytes(part))
            offset += max(1, len(part))
    except BaseException:
        incoming.give_up()
        raise


def _sites(told: Any) -> list[str]:
    resources = told.get("resources", {}) if isinstance(told, dict) else {}
    prefix = dask.site_resource("")
    return [str(name).removeprefix(prefix) for name in resources if str(name).startswith(prefix)]


def _event(data: object) -> Mapping[str, Any]:
    """What a device said, if it is of a size and a form that can be shown; else nothing."""
    if not isinstance(data, bytes) or len(data) > _EVENT_BYTES:
        return {}
    try:
        event = json.loads(data)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
