"""A worker: a host of one or several sites that does what a farm orders."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from edgewright.errors import ConfigError, EdgewrightError
from edgewright.untrusted import one_line

from . import dask
from .crew import Crew, Means
from .documents import Blob, Job, Order, Report, pack, unpack
from .files import Incoming

#: Runs whose devices are still held when nothing goes on for them; their farm may come back.
_KEPT = 4
_BACKOFF_S = 2.0
_EVENTS = 1000
#: So long the scheduler is tried before a line says that it is not there.
_START_S = 15
#: So long a farm hears nothing at most.
_QUIET_S = 5.0

Say = Callable[[str], None]


class Post:
    """What a worker answers. Dask calls its methods, in the loop's thread.

    Args:
        means: of this worker.
        say: told of what happens, in a line for people.
    """

    def __init__(self, means: Means, say: Say) -> None:
        self._means = means
        self._say = say
        self._crews: dict[str, Crew] = {}
        #: By run and device; of two connections for the same, the newer one.
        self._listening: dict[tuple[str, str], asyncio.Queue[Mapping[str, Any] | None]] = {}
        self._incoming: dict[str, Incoming] = {}
        self._lock = asyncio.Lock()

    @property
    def handlers(self) -> dict[str, Callable[..., Any]]:
        """By the names of the messages."""
        return {
            dask.ORDER: self.order,
            dask.STOP: self.stop,
            dask.MISSING: self.missing,
            dask.PUT: self.put,
            dask.FETCH: self.fetch,
        }

    async def order(self, comm: Any, job: object = None, order: object = None) -> Any:
        """Do it; meanwhile pass on what the device says. The last message is the report.

        When the farm is gone, its device is let go of: the job goes on there, and whoever takes the device up
        finds its result. A farm that is back already, by another connection, keeps it.
        """
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue(_EVENTS)
        try:
            wanted = unpack(Order, order, "the farm")
            place = ("", "")
            async with self._lock:
                crew = await asyncio.to_thread(self._crew, unpack(Job, job, "the farm"), loop)
                if wanted.kind != "build":
                    place = crew.job.run_id, wanted.device
                    self._listening[place] = events
                future = await asyncio.to_thread(crew.give, wanted)
        except EdgewrightError as error:
            await comm.write({"report": pack(Report(refused=str(error)))})
            return _dont_reply()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(_put, events, None))
        try:
            while (event := await _next(events)) is not None:
                await comm.write({"event": json.dumps(event, default=str).encode()})
            await comm.write({"report": pack(_result(future))})
        except (OSError, asyncio.CancelledError):  # the latter when Dask's worker closes
            if self._listening.get(place) is events:
                crew.let_go(wanted.device)
            raise
        finally:
            if self._listening.get(place) is events:
                del self._listening[place]
        return _dont_reply()

    async def stop(self, run_id: str = "") -> bool:
        """End what goes on for a run."""
        crew = self._crews.pop(run_id, None)
        if crew is not None:
            await asyncio.to_thread(crew.stop)
        return True

    async def missing(self, blobs: tuple[object, ...] = ()) -> list[str]:
        """Which of these files are not here."""
        wanted = [unpack(Blob, blob, "the farm") for blob in blobs]
        found = await asyncio.to_thread(lambda: [b.sha256 for b in wanted if not self._means.shelf.has(b)])
        return sorted(set(found))

    async def put(self, blob: object = None, transfer: str = "", data: bytes = b"") -> str:
        """The next part of a file; why it is not taken."""
        try:
            incoming = self._incoming.get(transfer)
            if incoming is None:
                incoming = Incoming(self._means.shelf, unpack(Blob, blob, "the farm"))
                self._incoming[transfer] = incoming
            await asyncio.to_thread(incoming.add, bytes(data))
        except (EdgewrightError, OSError) as error:
            self._incoming.pop(transfer, None)
            return str(error)
        if incoming.is_complete:
            del self._incoming[transfer]
        return ""

    async def fetch(self, blob: object = None, offset: int = 0) -> bytes | str:
        """A part of a file that was built here; why there is none."""
        try:
            wanted = unpack(Blob, blob, "the farm")
            if not self._means.shelf.has(wanted):
                return f"{wanted.name} is not here any more"
            return await asyncio.to_thread(self._means.shelf.read, wanted, int(offset))
        except EdgewrightError as error:
            return str(error)

    def _crew(self, job: Job, loop: asyncio.AbstractEventLoop) -> Crew:
        """That of the run; a farm that was killed and goes on gets a new one."""
        crew = self._crews.get(job.run_id)
        if crew is not None and crew.job == job:
            return crew
        made = Crew(job, self._means, partial(self._tell, loop, job.run_id))
        if crew is not None:
            self._crews.pop(job.run_id).abandon()
        idle = [name for name, one in self._crews.items() if not one.is_busy]
        for run_id in idle[: max(0, len(idle) - _KEPT)]:
            self._crews.pop(run_id).abandon()
        self._crews[job.run_id] = made
        self._say(f"run {job.run_id}: {one_line(job.plan.name)}")
        return made

    def _tell(
        self, loop: asyncio.AbstractEventLoop, run_id: str, name: str, event: Mapping[str, Any]
    ) -> None:
        """From a device's thread."""
        events = self._listening.get((run_id, name))
        if events is not None:
            loop.call_soon_threadsafe(_put, events, dict(event))


async def _next(events: asyncio.Queue[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """The next event; an empty one when there is none for a while, so that a farm that is gone is noticed."""
    try:
        return await asyncio.wait_for(events.get(), _QUIET_S)
    except TimeoutError:
        return {}


def _put(events: asyncio.Queue[Mapping[str, Any] | None], event: Mapping[str, Any] | None) -> None:
    """The end always has its place; what is said while nobody listens fast enough is left out."""
    if event is None:
        while events.full():
            events.get_nowait()
    if not events.full():
        events.put_nowait(event)


def _result(future: Future[Report]) -> Report:
    error = future.exception()
    if error is None:
        return future.result()
    return Report(refused=f"the worker failed: {type(error).__name__}: {one_line(str(error))}")


def _dont_reply() -> Any:
    return dask.distributed().core.Status.dont_reply


async def serve(scheduler: str, tls: dask.Tls | None, means: Means, host: str, say: Say) -> None:
    """Be a worker, for ever: when the scheduler goes away, it is waited for.

    Args:
        scheduler: its address.
        tls: of this process.
        means: what this worker has.
        host: the address by which the farm reaches it; empty for the one that leads to the scheduler.
        say: told of what happens, in a line for people.

    Raises:
        ConfigError: the address or the files for encryption cannot be used.
    """
    package, secured = dask.distributed(), dask.security(tls)
    parts = urlsplit(dask.check_address(scheduler, tls))
    post = Post(means, say)
    while True:
        address = host or _towards(parts.hostname or "", parts.port or 0)
        worker = package.Worker(
            scheduler,
            nthreads=1,
            memory_limit=None,
            resources={dask.site_resource(site): 1 for site in means.sites},
            security=secured,
            host=address,
            protocol=parts.scheme,
            local_directory=str(means.cache / "dask"),
            dashboard=False,
            extensions={},
            death_timeout=_START_S,
        )
        dask.only(worker.handlers, dask.OF_WORKER)
        dask.only(worker.stream_handlers, dask.FROM_SCHEDULER)
        worker.handlers.update(post.handlers)
        try:
            await worker
        except (OSError, RuntimeError) as error:  # the latter for whatever kept it from starting, by Dask
            why = str(error.__cause__ or "") or str(error) or f"no answer within {_START_S} s"
            say(f"not with the scheduler {scheduler} yet: {why}")
            await asyncio.sleep(_BACKOFF_S)
            continue
        say(f"{worker.address}: with the scheduler {scheduler}, of {', '.join(means.sites) or 'no site'}")
        await worker.finished()
        say("the scheduler is gone")
        await asyncio.sleep(_BACKOFF_S)


def _towards(host: str, port: int) -> str:
    """This machine's address on the way to another.

    Raises:
        ConfigError: there is no way.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, number, _, place = found[0]
        with socket.socket(family, kind, number) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError(f"{host}: cannot be reached: {error.strerror}", mend="name --host") from None
