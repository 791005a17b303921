"""Jobs that nobody waits for any more are ended on the device, or it is said that they go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgewright.device import Device
from edgewright.device.agent_link import AgentLink
from edgewright.device.lasting import LastingLink
from edgewright.device.preparing import Agent
from edgewright.errors import DeviceError, ProtocolMismatch, TransportError
from edgewright.farm.inventory import Target
from edgewright_agent import protocol as wire

JOB = wire.Job(
    "job1", wire.Model((wire.FileRef("m.onnx", "a" * 64, 3),), "onnx"), wire.Execution("onnxruntime")
)
STOCK = {"missing": [], "free_bytes": 1 << 40, "allowed_bytes": 1 << 40, "limit_bytes": 1 << 40}
BROKEN = TransportError("board", "the connection broke while a command ran")


def info(job_id: str, origin: str, **changes: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "owner": "ann@desk",
        "label": "net",
        "state": "running",
        "size_bytes": 1,
        "age_s": 1.0,
        "origin": origin,
        **changes,
    }


class Process:
    """Says hello, and then an event, or raises."""

    def __init__(self, *steps: dict[str, Any] | BaseException) -> None:
        self._steps = steps

    def lines(self) -> Iterator[str]:
        yield json.dumps({"event": "hello", "protocol": wire.PROTOCOL_VERSION, "agent": "0"})
        for step in self._steps:
            if isinstance(step, BaseException):
                raise step
            yield json.dumps(step)

    def finish(self) -> tuple[int, str]:
        return 0, ""

    def close(self) -> None:
        pass


class Script:
    """A device that answers each command as told, and keeps note of what it was asked."""

    def __init__(self, answers: dict[str, dict[str, Any] | BaseException]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, ...]] = []

    def start(self, argv: Sequence[str], *, stdin: object = b"", timeout_s: float) -> Process:
        command, *words = argv[4:]
        if command == "receive":
            return Process({"event": "stock", "stock": STOCK}, {"event": "received"})
        self.asked.append((command, *words))
        return Process(self._answers[command])

    def close(self) -> None:
        pass


def device(**answers: dict[str, Any] | BaseException) -> tuple[Device, Script]:
    transport = Script({"cancel": {"event": "cancelled"}, **answers})
    link = AgentLink("board", transport, Agent("python3", "/w/agent/x.pyz", "/w"))  # type: ignore[arg-type]
    return Device(Target("board", "x86-64-linux"), LastingLink(lambda: link)), transport


def test_an_interrupted_job_is_ended() -> None:
    opened, transport = device(submit=KeyboardInterrupt())
    events: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        opened.run(JOB, {}, events.append)
    assert transport.asked == [("submit",), ("cancel", "job1")] and events == []


def test_one_that_cannot_be_ended_is_told_of(tmp_path: Path) -> None:
    opened, _ = device(submit=KeyboardInterrupt(), cancel=BROKEN)
    events: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        opened.run(JOB, {}, events.append)
    (event,) = events
    assert event["name"] == "left" and "the connection broke" in event["why"]
    assert not opened.is_open


def test_all_jobs_of_one_origin_are_ended_and_no_others() -> None:
    jobs = [info("a", "run1/board/0"), info("b", "run10/board/0"), info("c", ""), info("d", "run1/board/1")]
    opened, transport = device(jobs={"event": "jobs", "jobs": jobs})
    opened.call_off(origin="run1/")
    assert transport.asked == [("jobs",), ("cancel", "a", "d")]


def test_nothing_to_end_asks_for_nothing() -> None:
    opened, transport = device(jobs={"event": "jobs", "jobs": []})
    opened.call_off(origin="run1/")
    opened.call_off()
    assert transport.asked == [("jobs",)]


def test_a_broken_connection_is_not_waited_for() -> None:
    opened, transport = device(cancel=BROKEN)
    with pytest.raises(TransportError):
        opened.call_off("job1")
    assert transport.asked == [("cancel", "job1")]


@pytest.mark.parametrize(
    "jobs",
    [
        [info("../up", "")],
        [info("a", "", state="dancing")],
        [info("a", "", age_s="old")],
        [info("a", "")] * 10_001,
        None,
    ],
)
def test_a_list_of_jobs_that_is_none_is_refused(jobs: Any) -> None:
    opened, _ = device(jobs={"event": "jobs", "jobs": jobs})
    with pytest.raises(DeviceError) as caught:
        opened.jobs()
    assert isinstance(caught.value, ProtocolMismatch)
