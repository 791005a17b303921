"""Files on their way to a device: gone on with after a cut, made from what is there, within a limit."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.devices.netns import Lab
from tests.devices.sshd import Sshd

from edgewright.device import Device
from edgewright.device.pushing import push
from edgewright.errors import DiskFull
from edgewright.farm.inventory import Target

pytestmark = pytest.mark.usefixtures("own_home", "own_cache")

MakeSshd = Callable[..., Sshd]
SIZE = 6 << 20


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))


def made(path: Path, content: bytes) -> dict[str, Path]:
    path.write_bytes(content)
    return {hashlib.sha256(content).hexdigest(): path}


def noise(number: int, size: int = SIZE) -> bytes:
    return random.Random(number).randbytes(size)


def sibling_of(content: bytes) -> bytes:
    """5 % replaced in 20 regions."""
    changed = bytearray(content)
    length = len(content) // 400
    for begin in range(0, len(content), len(content) // 20):
        changed[begin : begin + length] = random.Random(begin).randbytes(length)
    return bytes(changed[: len(content)])


class Told:
    """What a push tells, and what travelled in its connections."""

    def __init__(self, then: Callable[[Mapping[str, Any]], None] = lambda event: None) -> None:
        self.events: list[dict[str, Any]] = []
        self._then = then

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.events.append(dict(event))
        self._then(event)

    @property
    def phases(self) -> list[str]:
        return [event["name"] for event in self.events if event["event"] == "phase"]

    @property
    def sent(self) -> int:
        """Bytes of all tries."""
        sizes = [event["sent"] for event in self.events if "sent" in event]
        ends = [
            size for size, after in zip(sizes, [*sizes[1:], 0], strict=True) if after < size or after == 0
        ]
        return sum(ends)


def send(device: Device, files: dict[str, Path], told: Told | None = None) -> Told:
    told = told or Told()
    device._link.during(lambda link, on_event: push(link, files, on_event), told, is_retold=False)
    return told


def target(board: Sshd, **changes: Any) -> Target:
    return replace(board.target(python=sys.executable), **changes)


def stored(board: Sshd) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (board.home / "edgewright" / "store").iterdir()}


def content(files: dict[str, Path]) -> dict[str, bytes]:
    return {sha256: path.read_bytes() for sha256, path in files.items()}


def slow_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut links are noticed at once."""
    monkeypatch.setattr("edgewright.transport.ssh_link.KEEPALIVE_S", 0.5)
    monkeypatch.setattr("edgewright.transport.ssh_link.SILENCE_S", 2.0)


def assert_went_on_from_the_middle(told: Told) -> None:
    """What had arrived before the connection broke was not sent again."""
    assert told.phases[:2] == ["push", "reconnect"]
    again = told.events[[event.get("name") for event in told.events].index("reconnect") :]
    assert next(event["done"] for event in again if "done" in event) > SIZE // 2
    assert told.sent < 1.5 * SIZE


def test_a_push_goes_on_after_a_cut(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_links(monkeypatch)
    node = lab.add(disk="64m")
    files = made(tmp_path / "model.onnx", noise(1))
    cut = threading.Event()

    def then(event: Mapping[str, Any]) -> None:
        if event.get("done", 0) > SIZE // 2 and not cut.is_set():
            cut.set()
            node.cut()
        if event.get("name") == "reconnect":
            node.heal()

    with lab.entered():
        device = Device.open(target(node.sshd))
        node.rate("16mbit")
        with device:
            told = send(device, files, Told(then))
    assert stored(node.sshd) == content(files)
    assert_went_on_from_the_middle(told)


def test_a_server_killed_meanwhile_costs_little(lab: Lab, tmp_path: Path) -> None:
    node = lab.add(disk="64m")
    files = made(tmp_path / "model.onnx", noise(1))
    killed = threading.Event()

    def then(event: Mapping[str, Any]) -> None:
        if event.get("done", 0) > SIZE // 2 and not killed.is_set():
            killed.set()
            node.sshd.kill_sessions()

    with lab.entered():
        device = Device.open(target(node.sshd))
        node.rate("16mbit")
        with device:
            told = send(device, files, Told(then))
    assert stored(node.sshd) == content(files)
    assert_went_on_from_the_middle(told)


def test_a_sibling_travels_as_changes_over_a_slow_link(lab: Lab, tmp_path: Path) -> None:
    node = lab.add(disk="64m")
    model = made(tmp_path / "model.onnx", noise(1))
    sibling = made(tmp_path / "sibling.onnx", sibling_of(noise(1)))
    with lab.entered():
        device = Device.open(target(node.sshd))
        with device:
            send(device, model)
            node.rate("16mbit")
            told = send(device, sibling)
    assert stored(node.sshd) == {**content(model), **content(sibling)}
    assert told.sent < SIZE / 4
    rates = [event["rate_bytes_per_s"] for event in told.events if "rate_bytes_per_s" in event]
    assert rates and all(rate > 0 for rate in rates)
    assert told.events[-1]["left_s"] == 0


def test_what_compresses_travels_compressed_over_a_slow_link(lab: Lab, tmp_path: Path) -> None:
    node = lab.add(disk="64m")
    files = made(tmp_path / "model.onnx", b"".join(bytes([n % 7]) * 4096 for n in range(SIZE // 4096)))
    with lab.entered():
        device = Device.open(target(node.sshd))
        node.rate("16mbit")
        with device:
            told = send(device, files)
    assert stored(node.sshd) == content(files)
    assert told.sent < SIZE / 4


def test_a_base_altered_on_the_device_costs_a_whole_push_and_is_said(lab: Lab, tmp_path: Path) -> None:
    node = lab.add(disk="64m")
    model = made(tmp_path / "model.onnx", noise(1))
    sibling = made(tmp_path / "sibling.onnx", sibling_of(noise(1)))
    with lab.entered():
        device = Device.open(target(node.sshd))
        with device:
            send(device, model)
            base = node.disk / "edgewright" / "store" / next(iter(model))
            base.write_bytes(base.read_bytes()[:-1] + b"?")
            node.rate("16mbit")
            told = send(device, sibling)
    assert stored(node.sshd) == content(sibling)
    assert told.phases == ["push", "push-again", "push"]
    again = next(event for event in told.events if event.get("name") == "push-again")
    assert "arrived damaged" in again["why"]
    assert told.sent > SIZE


def test_the_oldest_make_room_under_a_limit(board: Sshd, tmp_path: Path) -> None:
    first, second, third = (made(tmp_path / f"{n}.onnx", noise(n, 1 << 20)) for n in (1, 2, 3))
    with Device.open(target(board, store_limit_bytes=int(2.5 * (1 << 20)))) as device:
        send(device, first)
        send(device, second)
        assert send(device, first).phases == []
        send(device, third)
        assert stored(board) == {**content(first), **content(third)}
        with pytest.raises(DiskFull, match=r"raise store_limit of board in the farm file"):
            send(device, {**first, **second, **third})
    assert stored(board) == {**content(first), **content(third)}


def test_two_hosts_that_push_the_same_file(
    board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright.device.pushing._LOOK_S", 0.1)
    files = made(tmp_path / "model.onnx", noise(1, 48 << 20))
    began, failed = threading.Event(), []
    second = Told()

    def other() -> None:
        began.wait(30)
        with Device.open(target(board)) as device:
            send(device, files, second)
        failed.append(stored(board) != content(files))

    def then(event: Mapping[str, Any]) -> None:
        if event.get("sent") and not began.is_set():
            began.set()
            waited = threading.Event()
            # the other is told to wait while this one's connection stands still
            for _ in range(300):
                if "waiting" in second.phases:
                    return
                waited.wait(0.1)

    thread = threading.Thread(target=other)
    thread.start()
    with Device.open(target(board)) as device:
        first = send(device, files, Told(then))
    thread.join(60)
    assert failed == [False]
    assert first.phases == ["push"]
    assert "waiting" in second.phases
    assert second.sent < 48 << 20
