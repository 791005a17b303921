"""What the host believes of a device whose every answer is made up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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


class Script:
    """A transport to a device that answers each command as told, and keeps note of what is pushed."""

    def __init__(self, **answers: Any) -> None:
        have = {"event": "have", "missing": [], "free_bytes": 1 << 40}
        self._answers = {"have": have, "admit": {"event": "admitted"}, **answers}
        self.pushed: list[tuple[str, bool]] = []

    def start(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Process:
        return Process(self._answers[argv[4]])

    def put(
        self, local: Path, remote: str, progress: Progress | None = None, *, resume: bool = False
    ) -> None:
        self.pushed.append((remote, resume))

    def get(self, remote: str, local: Path, *, max_bytes: int) -> None:
        raise AssertionError("nothing is to be fetched")

    def close(self) -> None:
        pass


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


def test_what_is_missing_is_pushed_for_the_agent_to_admit(files: dict[str, Path]) -> None:
    have = {"event": "have", "missing": ["a" * 64], "free_bytes": 1 << 40}
    opened, transport = device(have=have, submit=result())
    assert opened.run(JOB, files) == RESULT
    assert transport.pushed == [(f"/w/store/{'a' * 64}.part", True)]


def test_what_is_there_is_not_pushed(files: dict[str, Path]) -> None:
    opened, transport = device(submit=result())
    assert opened.run(JOB, files) == RESULT
    assert transport.pushed == []


def test_too_little_space_is_seen_before_anything_is_pushed(files: dict[str, Path]) -> None:
    opened, transport = device(have={"event": "have", "missing": ["a" * 64], "free_bytes": 1 << 20})
    with pytest.raises(DiskFull, match="3 bytes to push"):
        opened.run(JOB, files)
    assert transport.pushed == []


def test_a_file_that_has_gone_meanwhile_is_named(files: dict[str, Path]) -> None:
    have = {"event": "have", "missing": ["a" * 64], "free_bytes": 1 << 40}
    files["a" * 64].unlink()
    with pytest.raises(ConfigError, match=r"m\.onnx"):
        device(have=have)[0].run(JOB, files)


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
    "have",
    [
        {"event": "have"},
        {"event": "have", "missing": "a" * 64, "free_bytes": 1},
        {"event": "have", "missing": ["b" * 64], "free_bytes": 1 << 40},
        {"event": "have", "missing": [], "free_bytes": "much"},
        {"event": "admitted"},
    ],
)
def test_an_answer_about_the_store_is_checked(files: dict[str, Path], have: dict[str, Any]) -> None:
    with pytest.raises(ProtocolMismatch):
        device(have=have, submit=result())[0].run(JOB, files)


def test_a_missing_need_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no sshd"):
        require(False, "no sshd")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no sshd"):
        require(False, "no sshd")
    require(True, "there")
