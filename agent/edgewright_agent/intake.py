"""Files on their way into the store: unpacked, hashed as they come, kept when they are what was announced.

ROOT/store/SHA.part    the beginning of a file, locked by whoever writes it
"""

import hashlib
import json
import os
import select
import socket
import stat
import struct
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Optional

from .codec import decode, encode
from .failure import AgentFailure
from .files import is_full, sha256_of
from .frames import Piece, ReadBase, check_header, packings, reader, unpack
from .protocol_push import BASE, HEADER, LENGTH, MAX_MESSAGE, MAX_PAYLOAD, Delivery, Inquiry, Parcel, Stock
from .shelf import PART, locked
from .store import Store

Emit = Callable[[Dict[str, Any]], None]

#: A delivery that nothing comes of any more gives its files up to the next one.
SILENCE_S = 120.0
_LOOK_S = 1.0

#: Progress is told this often, and when a frame of nothing asks for it, by which the host measures the link.
_TOLD_S = 0.2
_READ_BYTES = 1 << 18


class Inlet:
    """Bytes from the host, as many as are asked for.

    Args:
        handle: where they come from; with OpenSSH that is a socket, which can wait for all of them at once.
        is_wanted: asked each second in which nothing comes.
    """

    def __init__(self, handle: int, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self._handle = handle
        self._socket = _socket(handle)
        self._buffer = memoryview(bytearray(MAX_PAYLOAD))
        self.is_wanted = is_wanted
        self.count = 0

    def __enter__(self) -> "Inlet":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def message(self) -> Any:
        """What was encoded as JSON, after its length."""
        (size,) = LENGTH.unpack(self.exactly(LENGTH.size))
        if size > MAX_MESSAGE:
            raise AgentFailure("protocol", f"a request of {size} bytes, and {MAX_MESSAGE} are allowed")
        try:
            return json.loads(bytes(self.exactly(size)).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise AgentFailure("protocol", f"the request is not JSON: {error}") from None

    def exactly(self, size: int) -> memoryview:
        """So many bytes, until more are asked for.

        Raises:
            AgentFailure: ``protocol`` when they end before, ``timeout`` when they stop coming.
        """
        view, at = self._buffer[:size], 0
        heard = time.monotonic()
        while at < size:
            got = self._read(view[at:])
            if got == 0:
                raise AgentFailure("protocol", "the transfer ended too early", "push it again")
            if got is not None:
                at, heard = at + got, time.monotonic()
                continue
            if not self.is_wanted():
                raise AgentFailure("busy", "another delivery of the same host took its place")
            if time.monotonic() > heard + SILENCE_S:
                raise AgentFailure("timeout", f"nothing came for {SILENCE_S:.0f} s", "push it again")
        self.count += size
        return view

    def _read(self, view: memoryview) -> Optional[int]:
        """How many bytes came, 0 at the end; None when for a second there was nothing."""
        if self._socket is not None:
            try:
                return self._socket.recv_into(view, 0, socket.MSG_WAITALL)
            except BlockingIOError:
                return None
        if not select.select([self._handle], [], [], _LOOK_S)[0]:
            return None
        return os.readv(self._handle, [view[:_READ_BYTES]])


def _socket(handle: int) -> Optional[socket.socket]:
    """The handle as a socket whose reading is bounded in time; None when it cannot be that."""
    if not stat.S_ISSOCK(os.fstat(handle).st_mode):
        return None
    made = socket.socket(fileno=os.dup(handle))
    bound = struct.pack("ll", *divmod(int(_LOOK_S * 1e6), 10**6))
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bound)
    except OSError:  # another C library may have the time in another form
        made.close()
        return None
    return made


def receive(inlet: Inlet, store: Store, emit: Emit) -> Dict[str, Any]:
    """Answer what of the files asked for is there, and take in the others.

    What arrived before an interruption stays, unless the disk is full or it is not what was announced. The
    host need not wait until the disk has what is received, and a job may run meanwhile: a power cut before
    that is found out when the files are asked for again, see shelf.py.

    Raises:
        AgentFailure: ``disk-full`` before anything is taken in, or meanwhile; ``busy`` when somebody else is
            sending one of them; ``protocol`` for what is not what was announced.
    """
    inquiry = decode(Inquiry, inlet.message())
    for sha256 in (*inquiry.sha256, *inquiry.bases):
        store.path(sha256)
    room, ticket = store.shelf.ask(inquiry)
    missing = tuple(store.missing(inquiry.sha256))
    bases = set(inquiry.bases) - set(store.missing(inquiry.bases))
    sizes = (room.free_bytes, room.allowed_bytes, room.limit_bytes)
    stock = Stock(missing, *sizes, store.partial(missing), tuple(sorted(bases)), packings())
    emit({"event": "stock", "stock": encode(stock)})
    if missing:
        inlet.is_wanted = lambda: store.shelf.is_current(inquiry.holder, ticket)
        _take_all(decode(Delivery, inlet.message()), inquiry, inlet, store, emit)
    emit({"event": "received", "files": len(missing)})
    store.settle(missing)
    return {"event": "settled"}


def _take_all(delivery: Delivery, inquiry: Inquiry, inlet: Inlet, store: Store, emit: Emit) -> None:
    for parcel in delivery.files:
        if not 0 <= parcel.from_bytes <= parcel.size_bytes:
            raise AgentFailure("protocol", f"a file of {parcel.size_bytes} bytes from {parcel.from_bytes} on")
    done = sum(parcel.from_bytes for parcel in delivery.files)
    total = sum(parcel.size_bytes for parcel in delivery.files)
    store.shelf.make_room(total - done, inquiry)
    teller = _Teller(emit, inlet, total)
    teller.tell(done, is_due=True)
    for parcel in delivery.files:
        for size in _take(parcel, inlet, store):
            done += size
            teller.tell(done, is_due=size == 0)


class _Teller:
    """Tells the progress, not too often."""

    def __init__(self, emit: Emit, inlet: Inlet, total: int) -> None:
        self._emit = emit
        self._inlet = inlet
        self._total = total
        self._begin = inlet.count
        self._last_s = 0.0

    def tell(self, done: int, is_due: bool) -> None:
        sent, now = self._inlet.count - self._begin, time.monotonic()
        if is_due or now - self._last_s >= _TOLD_S or done == self._total:
            self._last_s = now
            told = {"event": "progress", "done": done, "of": self._total, "unit": "bytes", "sent": sent}
            self._emit(told)


@dataclass
class _Base:
    """The file that patches refer to, when one was named."""

    sha256: str = ""
    handle: int = -1

    @property
    def read(self) -> Optional[ReadBase]:
        return reader(self.handle) if self.sha256 else None

    def name(self, sha256: str, store: Store) -> None:
        self.close()
        try:
            self.handle = os.open(store.path(sha256), os.O_RDONLY)
        except FileNotFoundError:
            raise AgentFailure("protocol", f"{sha256}, to start from, is gone", "push it again") from None
        self.sha256 = sha256

    def close(self) -> None:
        if self.sha256:
            os.close(self.handle)
            self.sha256 = ""


def _take(parcel: Parcel, inlet: Inlet, store: Store) -> Iterator[int]:
    """Write one file, and say after each frame how many bytes it gave."""
    part = store.path(parcel.sha256) + PART
    handle = locked(part, os.O_RDWR | os.O_CREAT)
    if handle is None:
        raise AgentFailure("busy", f"{parcel.sha256[:12]} is being sent by another host")
    base = _Base()
    try:
        if os.path.isfile(store.path(parcel.sha256)):
            os.unlink(part)
            raise AgentFailure("busy", f"{parcel.sha256[:12]} was sent by another host")
        if os.fstat(handle).st_size < parcel.from_bytes:
            raise AgentFailure("busy", f"the beginning of {parcel.sha256[:12]} is gone meanwhile")
        os.ftruncate(handle, parcel.from_bytes)
        digest = _digest(handle)
        at = parcel.from_bytes
        while at < parcel.size_bytes:
            kind, plain_bytes, payload_bytes = HEADER.unpack(inlet.exactly(HEADER.size))
            check_header(kind, plain_bytes, payload_bytes, parcel.size_bytes - at)
            payload = inlet.exactly(payload_bytes)
            if kind == BASE:
                base.name(bytes(payload).decode("ascii", "replace"), store)
                continue
            content = unpack(kind, plain_bytes, payload, base.read)
            _write(handle, content, part)
            digest.update(content)
            at += plain_bytes
            yield plain_bytes
        if digest.hexdigest() != parcel.sha256:
            os.unlink(part)
            _check_base(base.sha256, store)
            raise AgentFailure(
                "protocol", f"the file arrived damaged: it is not {parcel.sha256}", "push it again"
            )
        store.keep(parcel.sha256)
    finally:
        base.close()
        os.close(handle)


def _write(handle: int, content: Piece, part: str) -> None:
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(handle, view) :]
    except OSError as error:
        if not is_full(error):
            raise
        os.unlink(part)
        raise AgentFailure("disk-full", f"no space for the rest of {part}", "free some space there") from None


def _digest(handle: int) -> "hashlib._Hash":
    """Of what is there already; the handle then stands at its end."""
    digest = hashlib.sha256()
    os.lseek(handle, 0, os.SEEK_SET)
    for piece in iter(lambda: os.read(handle, 1 << 20), b""):
        digest.update(piece)
    return digest


def _check_base(sha256: str, store: Store) -> None:
    """Remove the file that a patch started from when it is what is damaged."""
    if sha256 and sha256_of(store.path(sha256)) != sha256:
        os.unlink(store.path(sha256))
