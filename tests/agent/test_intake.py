"""Files taken in: hashed as they come, kept when they are what was announced, gone on with after a break."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgewright_agent import intake, shelf
from edgewright_agent.codec import encode
from edgewright_agent.failure import AgentFailure
from edgewright_agent.intake import Inlet, receive
from edgewright_agent.protocol_push import (
    BASE,
    COUNT,
    HEADER,
    LENGTH,
    PATCH,
    RAW,
    SEGMENT,
    ZLIB,
    Delivery,
    Inquiry,
    Parcel,
)
from edgewright_agent.store import Store

CONTENT = random.Random(3).randbytes(10_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
SIBLING = CONTENT[:5000] + bytes(100) + CONTENT[5100:]
SIBLING_SHA = hashlib.sha256(SIBLING).hexdigest()


def message(value: Any) -> bytes:
    return text(json.dumps(encode(value)).encode())


def text(content: bytes) -> bytes:
    return LENGTH.pack(len(content)) + content


def frame(kind: int, plain_bytes: int, payload: bytes) -> bytes:
    return HEADER.pack(kind, plain_bytes, len(payload)) + payload


def raw(content: bytes) -> bytes:
    return frame(RAW, len(content), content)


def request(*parcels: Parcel, inquiry: Inquiry | None = None) -> bytes:
    asked = inquiry or Inquiry(tuple(parcel.sha256 for parcel in parcels), holder="me")
    return message(asked) + message(Delivery(parcels))


class Wire:
    """What the host sends through a pipe, and what it is told."""

    def __init__(self, store: Store, *, is_socket: bool = False) -> None:
        self.store = store
        self.events: list[dict[str, Any]] = []
        if is_socket:
            self.reader, self.writer = (end.detach() for end in socket.socketpair())
        else:
            self.reader, self.writer = os.pipe()

    def take(self, stream: bytes, *, more: bool = False) -> dict[str, Any]:
        """Send it, and the end unless there is more to come."""

        def send() -> None:
            with suppress(BrokenPipeError), os.fdopen(os.dup(self.writer), "wb") as pipe:
                pipe.write(stream)
            if not more:
                os.close(self.writer)
                self.writer = -1

        thread = threading.Thread(target=send)
        thread.start()
        try:
            with Inlet(self.reader) as inlet:
                return receive(inlet, self.store, self.events.append)
        finally:
            os.close(self.reader)
            thread.join()

    @property
    def stock(self) -> dict[str, Any]:
        found: dict[str, Any] = self.events[0]["stock"]
        return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture(params=["pipe", "socket"])
def pipe(store: Store, request: pytest.FixtureRequest) -> Iterator[Wire]:
    """As OpenSSH and other servers give a command its standard input."""
    made = Wire(store, is_socket=request.param == "socket")
    yield made
    if made.writer >= 0:
        os.close(made.writer)


def names(store: Store) -> list[str]:
    return [path.name for path in Path(store.store).iterdir()]


def part(store: Store) -> Path:
    return Path(store.path(SHA) + ".part")


def test_a_file_is_taken_in(store: Store, pipe: Wire) -> None:
    last = pipe.take(request(Parcel(SHA, 10_000)) + raw(CONTENT[:6000]) + raw(CONTENT[6000:]))
    assert pipe.events.pop() == {"event": "received", "files": 1}
    assert last == {"event": "settled"}
    assert Path(store.path(SHA)).read_bytes() == CONTENT
    assert not part(store).exists()
    assert pipe.stock["missing"] == [SHA]
    told = [(event["done"], event["of"]) for event in pipe.events[1:]]
    assert told[0] == (0, 10_000) and told[-1] == (10_000, 10_000)


def test_what_is_there_is_not_asked_for(store: Store, pipe: Wire) -> None:
    Path(store.path(SHA)).write_bytes(CONTENT)
    pipe.take(message(Inquiry((SHA,), holder="me")))
    assert pipe.events[1:] == [{"event": "received", "files": 0}]
    assert pipe.stock["missing"] == []


def test_what_the_disk_did_not_get_before_a_restart_is_found_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is told before the disk has it all: a power cut may leave anything under its name."""
    monkeypatch.setattr(Store, "settle", lambda self, hashes: None)
    Wire(store).take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    Path(store.path(SHA)).write_bytes(CONTENT[:5000] + bytes(5000))
    same_boot = Wire(store)
    same_boot.take(message(Inquiry((SHA,))))
    assert same_boot.stock["missing"] == []
    monkeypatch.setattr(shelf, "boot_id", lambda: "the next boot")
    again = Wire(store)
    again.take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    assert again.stock["missing"] == [SHA]
    assert Path(store.path(SHA)).read_bytes() == CONTENT


@pytest.mark.parametrize("record", [None, b"", b"\0" * 100])
def test_without_a_record_nothing_is_believed_before_it_was_hashed(
    store: Store, record: bytes | None
) -> None:
    Wire(store).take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    Path(store.path(SHA)).write_bytes(CONTENT[:5000] + bytes(5000))
    uses = Path(store.root) / "uses.json"
    uses.unlink()
    if record is not None:
        uses.write_bytes(record)
    again = Wire(store)
    again.take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    assert again.stock["missing"] == [SHA]


def test_what_the_disk_has_is_not_hashed_again_after_a_restart(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("edgewright_agent.store.sync", synced.append)
    Wire(store).take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    assert synced == [store.path(SHA), store.store]
    monkeypatch.setattr(shelf, "boot_id", lambda: "the next boot")
    monkeypatch.setattr(shelf, "sha256_of", lambda path: pytest.fail("it is hashed"))
    again = Wire(store)
    again.take(message(Inquiry((SHA,))))
    assert again.stock["missing"] == []


def test_a_file_that_outlived_a_restart_is_hashed_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "settle", lambda self, hashes: None)
    Wire(store).take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    monkeypatch.setattr(shelf, "boot_id", lambda: "the next boot")
    Wire(store).take(message(Inquiry((SHA,))))
    monkeypatch.setattr(shelf, "sha256_of", lambda path: pytest.fail("it is hashed"))
    Wire(store).take(message(Inquiry((SHA,))))


def test_any_mixture_of_frames_will_do(store: Store, pipe: Wire) -> None:
    Path(store.path(SHA)).write_bytes(CONTENT)
    patch = COUNT.pack(1) + SEGMENT.pack(4000, 6000) + bytes(4000)
    frames = (
        raw(SIBLING[:1000])
        + frame(RAW, 0, b"")
        + frame(ZLIB, 5000, zlib.compress(SIBLING[1000:6000]))
        + frame(BASE, 0, SHA.encode())
        + frame(PATCH | ZLIB, 4000, zlib.compress(patch))
    )
    pipe.take(request(Parcel(SIBLING_SHA, 10_000), inquiry=Inquiry((SIBLING_SHA,), (SHA,))) + frames)
    assert pipe.stock["bases"] == [SHA]
    assert Path(store.path(SIBLING_SHA)).read_bytes() == SIBLING


def test_a_frame_of_nothing_is_answered_at_once(pipe: Wire) -> None:
    pipe.take(request(Parcel(SHA, 10_000)) + raw(CONTENT[:10]) + frame(RAW, 0, b"") + raw(CONTENT[10:]))
    assert [event["sent"] for event in pipe.events[1:-1]] == [0, 28, 10_000 + 27]


def test_an_empty_file_needs_no_frame(store: Store, pipe: Wire) -> None:
    empty = hashlib.sha256().hexdigest()
    pipe.take(request(Parcel(empty, 0)))
    assert Path(store.path(empty)).read_bytes() == b""


def test_an_interruption_keeps_what_arrived_and_the_rest_completes_it(store: Store, tmp_path: Path) -> None:
    with pytest.raises(AgentFailure, match="ended too early"):
        Wire(store).take(request(Parcel(SHA, 10_000)) + raw(CONTENT[:4000]) + raw(CONTENT[4000:])[:500])
    assert part(store).read_bytes() == CONTENT[:4000]
    again = Wire(store)
    again.take(request(Parcel(SHA, 10_000, 4000)) + frame(ZLIB, 6000, zlib.compress(CONTENT[4000:])))
    assert again.stock["partial"] == {SHA: 4000}
    assert Path(store.path(SHA)).read_bytes() == CONTENT


def test_a_beginning_is_used_only_as_far_as_the_host_says(store: Store, pipe: Wire) -> None:
    part(store).write_bytes(CONTENT[:10] + b"something else")
    pipe.take(request(Parcel(SHA, 10_000, 10)) + raw(CONTENT[10:]))
    assert Path(store.path(SHA)).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"x" + CONTENT[1:], CONTENT[:-1] + b"x"])
def test_what_is_not_what_was_announced_is_removed(store: Store, pipe: Wire, content: bytes) -> None:
    with pytest.raises(AgentFailure, match="arrived damaged") as caught:
        pipe.take(request(Parcel(SHA, 10_000)) + raw(content))
    assert caught.value.error.code == "protocol"
    assert names(store) == []


def test_an_altered_base_is_found_out_and_removed(store: Store, pipe: Wire) -> None:
    Path(store.path(SHA)).write_bytes(b"x" + CONTENT[1:])
    patch = COUNT.pack(1) + SEGMENT.pack(5000, 0) + bytes(5000)
    frames = frame(BASE, 0, SHA.encode()) + frame(PATCH | RAW, 5000, patch) + raw(SIBLING[5000:])
    with pytest.raises(AgentFailure, match="arrived damaged"):
        pipe.take(request(Parcel(SIBLING_SHA, 10_000)) + frames)
    assert names(store) == []


@pytest.mark.parametrize(
    ("base", "said"), [(b"a" * 64, "is gone"), (b"../../etc/passwd", "not a SHA-256"), (b"\xff", "not a SHA")]
)
def test_a_base_that_is_none_is_refused(store: Store, pipe: Wire, base: bytes, said: str) -> None:
    with pytest.raises(AgentFailure, match=said):
        pipe.take(request(Parcel(SHA, 10_000)) + frame(BASE, 0, base))


@pytest.mark.parametrize(
    "stream",
    [
        b"garbage",
        text(b"garbage"),
        text(b"[]"),
        text(b'{"sha256": ["../x"]}'),
        text(b'{"sha256": 3}'),
        text(b"\xff"),
        text(b"[" * 100_000),
        message(Inquiry((SHA,))) + text(b"garbage"),
        request(Parcel(SHA, -1)),
        request(Parcel(SHA, 10, 11)),
        request(Parcel(SHA, 10, -1)),
        request(Parcel("../../x", 10)),
        request(Parcel(SHA, 10)) + raw(bytes(11)),
        request(Parcel(SHA, 10)) + frame(99, 10, bytes(10)),
        b"",
        text(b"x" * (2 << 20)),
    ],
)
def test_a_stream_that_cannot_be_is_refused(store: Store, pipe: Wire, stream: bytes) -> None:
    with pytest.raises((AgentFailure, ValueError)) as caught:
        pipe.take(stream)
    if isinstance(caught.value, AgentFailure):
        assert caught.value.error.code in ("protocol", "disk-full")
    assert [name for name in names(store) if not name.endswith(".part")] == []


def test_more_than_fits_is_refused_before_anything_is_taken_in(store: Store, pipe: Wire) -> None:
    asked = Inquiry((SHA,), limit_bytes=9_999, holder="me")
    with pytest.raises(AgentFailure, match="within the limit of 9999") as caught:
        pipe.take(request(Parcel(SHA, 10_000), inquiry=asked) + raw(CONTENT))
    assert caught.value.error.code == "disk-full"
    assert names(store) == []


def test_older_files_make_room(store: Store, pipe: Wire) -> None:
    Path(store.path("a" * 64)).write_bytes(bytes(9_000))
    pipe.take(request(Parcel(SHA, 10_000), inquiry=Inquiry((SHA,), limit_bytes=12_000)) + raw(CONTENT))
    assert names(store) == [SHA]


def test_a_file_that_somebody_else_sends_is_left_to_them(store: Store, pipe: Wire) -> None:
    part(store).write_bytes(CONTENT[:10])
    handle = os.open(part(store), os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(AgentFailure, match="another host") as caught:
        pipe.take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    assert caught.value.error.code == "busy"
    assert part(store).read_bytes() == CONTENT[:10]
    os.close(handle)


def test_a_file_that_somebody_else_has_sent_meanwhile_is_asked_for_again(
    store: Store, pipe: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Store.missing

    def then_sent(self: Store, hashes: Sequence[str]) -> list[str]:
        found = missing(self, hashes)
        Path(store.path(SHA)).write_bytes(CONTENT)
        return found

    monkeypatch.setattr(Store, "missing", then_sent)
    with pytest.raises(AgentFailure, match="another host") as caught:
        pipe.take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    assert caught.value.error.code == "busy"
    assert names(store) == [SHA]


def test_a_beginning_that_is_gone_meanwhile_is_asked_for_again(store: Store, pipe: Wire) -> None:
    with pytest.raises(AgentFailure, match="gone meanwhile") as caught:
        pipe.take(request(Parcel(SHA, 10_000, 10)) + raw(CONTENT[10:]))
    assert caught.value.error.code == "busy"


def test_silence_ends_a_delivery(pipe: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_LOOK_S", 0.01)
    monkeypatch.setattr(intake, "SILENCE_S", 0.05)
    with pytest.raises(AgentFailure, match="nothing came") as caught:
        pipe.take(request(Parcel(SHA, 10_000)) + raw(CONTENT[:10]), more=True)
    assert caught.value.error.code == "timeout"


def test_the_same_host_s_next_connection_takes_the_place_of_one_that_hangs(
    store: Store, pipe: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that was cut leaves a command behind that waits for bytes which will never come."""
    monkeypatch.setattr(intake, "_LOOK_S", 0.02)

    def again() -> None:
        until = time.monotonic() + 10
        while not part(store).exists() and time.monotonic() < until:
            time.sleep(0.01)
        store.shelf.ask(Inquiry((SHA,), holder="me"))

    thread = threading.Thread(target=again)
    thread.start()
    with pytest.raises(AgentFailure, match="took its place"):
        pipe.take(request(Parcel(SHA, 10_000)) + raw(CONTENT[:10]), more=True)
    thread.join()
    Wire(store).take(request(Parcel(SHA, 10_000, 10)) + raw(CONTENT[10:]))
    assert Path(store.path(SHA)).read_bytes() == CONTENT


def test_a_full_disk_leaves_nothing_of_the_file(
    store: Store, pipe: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if os.path.samestat(os.fstat(handle), part(store).stat()):
            raise OSError(28, "No space left on device")
        return write(handle, data)

    monkeypatch.setattr("os.write", full)
    with pytest.raises(AgentFailure, match="no space") as caught:
        pipe.take(request(Parcel(SHA, 10_000)) + raw(CONTENT))
    assert caught.value.error.code == "disk-full"
    assert names(store) == []
