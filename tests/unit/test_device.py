"""What the host believes of a device whose every answer is made up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.devices import require

from edgewright.device import Device
from edgewright.device.agent_link import AgentLink
from edgewright.device.lasting import LastingLink
from edgewright.device.preparing import Agent
from edgewright.errors import ConfigError, DiskFull, ProtocolMismatch
from edgewright.farm.inventory import Target
from edgewright.transport import Progress
from edgewright_agent import protocol as wire
from edgewright_agent.protocol_push import HEADER, LENGTH, RAW

JOB = wire.Job(
    "job1", wire.Model((wire.FileRef("m.onnx", "a" * 64, 3),), "onnx"), wire.Execution("onnxruntime")
)
RESULT = wire.RunResult(
    job_id="job1",
    session=wire.SessionInfo("onnxruntime", "1.0", ("CPUExecutionProvider",), 1, (), ()),
    timing=None,
    memory=wire.Memory(1, 2, 3, "whole life"),
    energy=wire.Energy(None, (), "not asked for"),
    environment=(),
    parity=None,
)


class Process:
    def __init__(self, event: dict[str, Any]) -> None:
        hello = {"event": "hello", "protocol": wire.PROTOCOL_VERSION, "agent": "0"}
        self._lines = [json.dumps(hello), json.dumps(event)]

    def lines(self) -> Iterator[str]:
        return iter(self._lines)

    def finish(self) -> tuple[int, str]:
        return 0, ""

    def close(self) -> None:
        self._lines = []


class Pushed:
    """The agent's ``receive``: what it says is missing, and what is sent to it then."""

    def __init__(self, stock: dict[str, Any], stdin: Iterable[bytes], last: dict[str, Any]) -> None:
        self._stock = stock
        self._last = last
        self._stream = iter(stdin)
        self.messages: list[bytes] = []
        self.frames: list[bytes] = []

    def lines(self) -> Iterator[str]:
        yield json.dumps({"event": "hello", "protocol": wire.PROTOCOL_VERSION, "agent": "0"})
        self.messages.append(next(self._stream))
        yield json.dumps(self._stock)
        if self._stock.get("stock", {}).get("missing"):
            self.messages.append(next(self._stream))
            yield json.dumps({"event": "progress", "done": 0, "of": 3, "unit": "bytes", "sent": 0})
            ping = next(self._stream)
            yield json.dumps({"event": "progress", "done": 0, "of": 3, "unit": "bytes", "sent": len(ping)})
            self.frames = list(self._stream)
        yield json.dumps(self._last)

    def finish(self) -> tuple[int, str]:
        return 0, ""

    def close(self) -> None:
        pass


def stock(**changes: Any) -> dict[str, Any]:
    found = {
        "missing": [],
        "free_bytes": 1 << 40,
        "allowed_bytes": 1 << 40,
        "limit_bytes": 1 << 40,
        **changes,
    }
    return {"event": "stock", "stock": found}


MISSING = stock(missing=["a" * 64])


class Script:
    """A transport to a device that answers each command as told, and keeps note of what is pushed."""

    def __init__(self, **answers: Any) -> None:
        self._answers = {"stock": stock(), "received": {"event": "received"}, **answers}
        self.pushes: list[Pushed] = []

    def start(
        self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float
    ) -> Process | Pushed:
        if argv[4] != "receive":
            return Process(self._answers[argv[4]])
        assert not isinstance(stdin, bytes)
        self.pushes.append(Pushed(self._answers["stock"], stdin, self._answers["received"]))
        return self.pushes[-1]

    def put(
        self, local: Path, remote: str, progress: Progress | None = None, *, resume: bool = False
    ) -> None:
        raise AssertionError("nothing is to be put")

    def get(self, remote: str, local: Path, *, max_bytes: int) -> None:
        raise AssertionError("nothing is to be fetched")

    def close(self) -> None:
        pass

    @property
    def frames(self) -> bytes:
        """Of all pushes."""
        return b"".join(b"".join(push.frames) for push in self.pushes)


def device(**answers: Any) -> tuple[Device, Script]:
    transport = Script(**answers)
    target = Target("board", "x86-64-linux")
    link = AgentLink(target.name, transport, Agent("python3", "/w/agent/x.pyz", "/w"))
    return Device(target, LastingLink(lambda: link)), transport


def result(**changes: Any) -> dict[str, Any]:
    return {"event": "result", "result": wire.encode(replace(RESULT, **changes))}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "m.onnx").write_bytes(b"abc")
    return {"a" * 64: tmp_path / "m.onnx"}


def test_what_is_missing_is_pushed(files: dict[str, Path]) -> None:
    opened, transport = device(stock=MISSING, submit=result())
    assert opened.run(JOB, files) == RESULT
    (push,) = transport.pushes
    inquiry, delivery = (json.loads(message[LENGTH.size :]) for message in push.messages)
    assert inquiry["sha256"] == ["a" * 64]
    assert delivery == {"files": [{"sha256": "a" * 64, "size_bytes": 3, "from_bytes": 0}]}
    assert transport.frames == HEADER.pack(RAW, 3, 3) + b"abc"


def test_a_push_goes_on_where_an_earlier_one_stopped(files: dict[str, Path]) -> None:
    opened, transport = device(stock=stock(missing=["a" * 64], partial={"a" * 64: 2}), submit=result())
    opened.run(JOB, files)
    assert transport.frames == HEADER.pack(RAW, 1, 1) + b"c"


@pytest.mark.parametrize("partial", [4, -1])
def test_a_beginning_that_cannot_be_the_file_s_is_not_gone_on_with(
    files: dict[str, Path], partial: int
) -> None:
    opened, transport = device(stock=stock(missing=["a" * 64], partial={"a" * 64: partial}), submit=result())
    opened.run(JOB, files)
    assert transport.frames == HEADER.pack(RAW, 3, 3) + b"abc"


def test_what_is_there_is_not_pushed(files: dict[str, Path]) -> None:
    opened, transport = device(submit=result())
    assert opened.run(JOB, files) == RESULT
    assert transport.frames == b""


def test_too_little_space_is_seen_before_anything_is_pushed(files: dict[str, Path]) -> None:
    opened, transport = device(stock=stock(missing=["a" * 64], free_bytes=1 << 20))
    with pytest.raises(DiskFull, match="3 bytes to push"):
        opened.run(JOB, files)
    assert transport.frames == b""


def test_a_limit_that_is_too_small_is_named(files: dict[str, Path]) -> None:
    opened, transport = device(stock=stock(missing=["a" * 64], allowed_bytes=2, limit_bytes=50))
    with pytest.raises(DiskFull, match=r"a limit of 50 for all.*raise store_limit of board"):
        opened.run(JOB, files)
    assert transport.frames == b""


def test_a_file_that_has_gone_meanwhile_is_named(files: dict[str, Path]) -> None:
    files["a" * 64].unlink()
    with pytest.raises(ConfigError, match=r"m\.onnx"):
        device(stock=MISSING)[0].run(JOB, files)


def test_what_does_not_arrive_as_it_is_here_is_pushed_once_more(files: dict[str, Path]) -> None:
    error = {"event": "error", "error": wire.encode(wire.AgentError("protocol", "arrived damaged"))}
    opened, transport = device(stock=MISSING, received=error)
    events: list[Any] = []
    with pytest.raises(ProtocolMismatch, match="arrived damaged"):
        opened.run(JOB, files, events.append)
    assert len(transport.pushes) == 2
    assert {"event": "phase", "name": "push-again", "why": "arrived damaged"} in events


@pytest.mark.parametrize(
    "answer",
    [
        result(job_id="another"),
        result(files=(wire.FileRef("o.npz", "b" * 64, 10 << 30),)),
        result(files=(wire.FileRef("o.npz", "b" * 64, -1),)),
        {"event": "result"},
        {"event": "result", "result": {**wire.encode(RESULT), "surprise": 1}},
        {"event": "result", "result": {**wire.encode(RESULT), "memory": None}},
    ],
)
def test_a_result_that_cannot_be_this_job_s_is_refused(
    files: dict[str, Path], answer: dict[str, Any]
) -> None:
    with pytest.raises(ProtocolMismatch):
        device(submit=answer)[0].run(JOB, files)


@pytest.mark.parametrize(
    "answer",
    [
        {"event": "stock"},
        {"event": "have"},
        {"event": "received"},
        stock(missing="a" * 64),
        stock(missing=["b" * 64]),
        stock(missing=["a" * 64, "a" * 64]),
        stock(partial={"b" * 64: 1}),
        stock(missing=["a" * 64], free_bytes="much"),
        stock(surprise=1),
    ],
)
def test_an_answer_about_the_store_is_checked(files: dict[str, Path], answer: dict[str, Any]) -> None:
    opened, transport = device(stock=answer, submit=result())
    with pytest.raises(ProtocolMismatch):
        opened.run(JOB, files)
    assert transport.frames == b""


def test_a_missing_need_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no sshd"):
        require(False, "no sshd")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no sshd"):
        require(False, "no sshd")
    require(True, "there")
