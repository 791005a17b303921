"""How the stream of a push is made: the link is measured, and what is sent suits it."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.device.flow import Flow
from edgewright.device.packing import Packer, Packing
from edgewright.device.pushed import PushedFile, PushedFiles
from edgewright.device.sending import Order, Sender
from edgewright.errors import ConfigError
from edgewright_agent.intake import Inlet, receive
from edgewright_agent.protocol_push import PATCH, RAW, ZLIB, ZSTD, Delivery, Inquiry, Parcel
from edgewright_agent.store import Store

MEASURED = Flow.measured
ZEROS = bytes(1 << 18)
NOISE = random.Random(1).randbytes(1 << 18)
WEIGHTS = np.random.default_rng(1).standard_normal(1 << 20).astype(np.float32)


# --- choosing a compressor ------------------------------------------------------------------------------


@pytest.mark.parametrize(("unpackable", "kind"), [(("zlib", "zstd"), ZSTD), (("zlib",), ZLIB), ((), ZLIB)])
def test_a_slow_link_gets_it_compressed_by_what_the_device_has(
    unpackable: tuple[str, ...], kind: int
) -> None:
    found, payload = Packer(unpackable).pack(ZEROS, 1e5)
    assert found == kind
    assert len(payload) < len(ZEROS) / 100


@pytest.mark.parametrize(("content", "rate"), [(ZEROS, None), (ZEROS, 1e9), (NOISE, 1e5)])
def test_it_goes_as_it_is_where_compressing_does_not_pay(content: bytes, rate: float | None) -> None:
    assert Packer(("zstd",)).pack(content, rate) == (RAW, content)


def test_a_compressor_that_is_slower_than_the_link_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("edgewright.device.packing.time.perf_counter", lambda: float(next(clock)))
    assert Packer(("zlib",)).pack(ZEROS, 1e6) == (RAW, ZEROS)


def test_a_slower_link_gets_the_stronger_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of work for each megabyte less to send pays on a slow link only."""
    sizes = {1: 200_000, 3: 150_000, 6: 100_000}
    now = [0.0]

    def pack(self: Packing, content: bytes) -> bytes:
        now[0] += 0.01 * self.level
        return bytes(sizes[self.level])

    monkeypatch.setattr(Packing, "pack", pack)
    monkeypatch.setattr("edgewright.device.packing.time.perf_counter", lambda: now[0])
    assert len(Packer(("zlib",)).pack(ZEROS, 1e5)[1]) == 100_000
    assert len(Packer(("zlib",)).pack(ZEROS, 6e6)[1]) == 150_000
    assert len(Packer(("zlib",)).pack(ZEROS, 1.2e7)[1]) == 200_000


def test_what_comes_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    packer = Packer(("zstd",))
    assert packer.pack(NOISE, 1e5)[0] == RAW
    kinds = [packer.pack(ZEROS, 1e5)[0] for _ in range(40)]
    assert kinds[0] == RAW and kinds[-1] == ZSTD


# --- measuring the link ------------------------------------------------------------------------------------


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("edgewright.device.flow.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def steps(flow: Flow, clock: Clock, seconds: int, rate: float, busy_share: float) -> None:
    arrived = flow.sent_bytes
    for _ in range(seconds * 5):
        with flow.sending(int(rate / 5)):
            clock.now += 0.2 * busy_share
        clock.now += 0.2 * (1 - busy_share)
        arrived += int(rate / 5)
        flow.heard(arrived)


def test_a_link_that_is_always_full_is_as_fast_as_what_arrives(clock: Clock) -> None:
    flow = Flow()
    flow.measured(1000, 1.0)
    steps(flow, clock, 5, 2e6, 0.9)
    assert flow.rate == pytest.approx(2e6, rel=0.01)
    steps(flow, clock, 5, 5e5, 0.9)
    assert flow.rate == pytest.approx(5e5, rel=0.01)


def test_a_link_that_waits_for_the_compressor_is_taken_to_be_faster(clock: Clock) -> None:
    flow = Flow()
    flow.measured(10**6, 1.0)
    steps(flow, clock, 10, 2e5, 0.05)
    assert flow.rate is not None and flow.rate > 2e6


def test_waiting_ends_when_nobody_listens(clock: Clock) -> None:
    flow = Flow()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(flow.wait(10)))
    thread.start()
    flow.heard(9)
    flow.close()
    thread.join(10)
    assert answers == [False]


# --- the stream, as the agent takes it ---------------------------------------------------------------------


class Link:
    """A sender and the agent's intake, joined by a pipe that takes so many bytes a second."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.kinds: list[int] = []
        self.sent = 0
        self._monkeypatch = monkeypatch

    def push(
        self,
        path: Path,
        *,
        bases: list[PushedFile] | None = None,
        rate: float = 1e12,
        from_bytes: int = 0,
        unpackable: tuple[str, ...] = ("zlib", "zstd"),
    ) -> Sender:
        sha256 = sha256_of(path)
        parcel = Parcel(sha256, path.stat().st_size, from_bytes)
        sender = Sender(Inquiry((sha256,)), {sha256: path})
        self._monkeypatch.setattr("edgewright.device.sending._LAST_PROBE", 1 << 16)
        self._monkeypatch.setattr(
            Flow, "measured", lambda flow, size, seconds: MEASURED(flow, int(rate * 10), 10.0)
        )
        reader, writer = os.pipe()

        def on_event(event: dict[str, Any]) -> None:
            if event["event"] == "stock":
                sender.order(Order(Delivery((parcel,)), {sha256: bases or []}, unpackable))
            elif event["event"] == "progress":
                sender.flow.heard(event["sent"])

        def feed() -> None:
            with os.fdopen(writer, "wb") as pipe:
                for number, piece in enumerate(sender.pieces()):
                    self.sent += len(piece)
                    if number > 1:
                        self.kinds.append(piece[0])
                    pipe.write(piece)
                    pipe.flush()

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            with Inlet(reader) as inlet:
                receive(inlet, self.store, on_event)
        finally:
            sender.flow.close()
            os.close(reader)
            thread.join()
        return sender


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pushed(path: Path) -> PushedFile:
    found = path.stat()
    return PushedFile(sha256_of(path), str(path), found.st_size, found.st_mtime_ns)


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    yield Link(Store(str(tmp_path / "device")), monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(WEIGHTS.tobytes())
    return path


@pytest.fixture
def sibling(tmp_path: Path) -> Path:
    changed = WEIGHTS.copy()
    changed[:: len(WEIGHTS) // 50] = 0
    changed[1000:20_000] = 1.5
    path = tmp_path / "sibling.onnx"
    path.write_bytes(b"header" + changed.tobytes())
    return path


def arrived(link: Link, path: Path) -> bool:
    return Path(link.store.path(sha256_of(path))).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000])
def test_a_file_of_any_size_arrives(link: Link, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(random.Random(size).randbytes(size))
    link.push(path)
    assert arrived(link, path)


def test_a_fast_link_gets_it_as_it_is(link: Link, model: Path) -> None:
    link.push(model)
    assert arrived(link, model)
    assert set(link.kinds) == {RAW}


def test_a_slow_link_gets_a_sibling_as_changes(link: Link, model: Path, sibling: Path) -> None:
    link.push(model)
    link.sent = 0
    link.push(sibling, bases=[pushed(model)], rate=1e4)
    assert arrived(link, sibling)
    assert PATCH | ZSTD in link.kinds
    assert link.sent < 0.3 * sibling.stat().st_size


def test_a_device_without_zstd_gets_it_by_zlib(link: Link, model: Path, sibling: Path) -> None:
    link.push(model)
    link.kinds.clear()
    link.push(sibling, bases=[pushed(model)], rate=1e4, unpackable=("zlib",))
    assert arrived(link, sibling)
    assert PATCH | ZLIB in link.kinds and PATCH | ZSTD not in link.kinds


def test_changes_go_on_where_a_plain_transfer_stopped(link: Link, model: Path, sibling: Path) -> None:
    link.push(model)
    begun = 1_234_567
    Path(link.store.path(sha256_of(sibling)) + ".part").write_bytes(sibling.read_bytes()[:begun])
    link.push(sibling, bases=[pushed(model)], rate=1e4, from_bytes=begun)
    assert arrived(link, sibling)


def test_of_several_bases_the_one_with_most_in_common_serves(
    link: Link, model: Path, sibling: Path, tmp_path: Path
) -> None:
    poor = tmp_path / "poor.onnx"
    poor.write_bytes(WEIGHTS[: len(WEIGHTS) // 4].tobytes() + NOISE)
    for path in (model, poor):
        link.push(path)
    link.sent = 0
    link.push(sibling, bases=[pushed(poor), pushed(model)], rate=1e4)
    assert arrived(link, sibling)
    assert link.sent < 0.3 * sibling.stat().st_size


def test_a_base_that_is_gone_meanwhile_is_done_without(link: Link, model: Path, sibling: Path) -> None:
    link.push(model)
    gone = pushed(model)
    model.unlink()
    link.push(sibling, bases=[gone], rate=1e4)
    assert arrived(link, sibling)


def test_a_file_that_shrinks_meanwhile_is_named(
    link: Link, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = model.stat().st_size
    sender = Sender(Inquiry(("a" * 64,)), {"a" * 64: model})
    sender.order(Order(Delivery((Parcel("a" * 64, size + 1),)), {}, ()))
    sender.flow.heard(1 << 40)
    for _ in sender.pieces():
        pass
    assert isinstance(sender.problem, ConfigError)
    assert "changed while it was sent" in str(sender.problem)


# --- what was pushed before --------------------------------------------------------------------------------


def test_what_was_pushed_is_remembered_and_offered_to_its_like(
    tmp_path: Path, model: Path, sibling: Path
) -> None:
    record = tmp_path / "pushed.json"
    PushedFiles(record).remember({"a" * 64: model})
    (found,) = PushedFiles(record).bases(sibling, sibling.stat().st_size)
    assert (found.sha256, found.path) == ("a" * 64, str(model))
    assert PushedFiles(record).bases(tmp_path / "other.npz", sibling.stat().st_size) == []
    assert PushedFiles(record).bases(sibling, 100 * sibling.stat().st_size) == []
    assert PushedFiles(record).bases(sibling, 100) == []


def test_a_file_that_was_changed_since_is_no_base(tmp_path: Path, model: Path, sibling: Path) -> None:
    record = tmp_path / "pushed.json"
    PushedFiles(record).remember({"a" * 64: model})
    model.write_bytes(bytes(model.stat().st_size))
    assert PushedFiles(record).bases(sibling, sibling.stat().st_size) == []
    model.unlink()
    assert PushedFiles(record).bases(sibling, sibling.stat().st_size) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[3]", b"\xff", b'[{"sha256": 1}]'])
def test_a_damaged_record_is_empty(tmp_path: Path, model: Path, content: bytes) -> None:
    record = tmp_path / "pushed.json"
    record.write_bytes(content)
    assert PushedFiles(record).bases(model, model.stat().st_size) == []
    PushedFiles(record).remember({"a" * 64: model})
    assert len(PushedFiles(record).bases(model, model.stat().st_size)) == 1


def test_the_record_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.device.pushed._MAX_FILES", 3)
    record = PushedFiles(tmp_path / "pushed.json")
    for number in range(5):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(bytes(70_000))
        record.remember({str(number) * 64: path})
    assert {file.sha256[0] for file in PushedFiles(tmp_path / "pushed.json").bases(path, 70_000)} == {
        "4",
        "3",
        "2",
    }
