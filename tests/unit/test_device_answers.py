"""What the host makes of an agent's lines, honest or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from edgewright.device.answers import ERRORS, last_event
from edgewright.errors import AgentFault, DeviceError, DiskFull, ProtocolMismatch
from edgewright_agent.protocol import ERROR_CODES, PROTOCOL_VERSION

HELLO = {"event": "hello", "protocol": PROTOCOL_VERSION, "agent": "0.1.0"}


class Said:
    """A process that has said all it had to say."""

    def __init__(self, *lines: str | dict[str, Any], status: int = 0, stderr: str = "") -> None:
        self._lines = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self._end = (status, stderr)
        self.closed = False

    def lines(self) -> Iterator[str]:
        return iter(self._lines)

    def finish(self) -> tuple[int, str]:
        return self._end

    def close(self) -> None:
        self.closed = True


def failure(process: Said) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        last_event("board", process, "done")
    assert process.closed
    assert "\n" not in str(caught.value)
    return caught.value


def test_events_are_passed_on_until_the_last() -> None:
    seen: list[Any] = []
    events: list[dict[str, Any]] = [
        {"event": "phase", "name": "load"},
        {"event": "progress", "done": 1, "of": 2, "unit": "runs"},
    ]
    process = Said(HELLO, *events, {"event": "done", "value": 7}, "never read")
    assert last_event("board", process, "done", seen.append) == {"event": "done", "value": 7}
    assert seen == events
    assert process.closed


def test_every_code_an_agent_may_send_has_its_error() -> None:
    assert set(ERRORS) == set(ERROR_CODES)


@pytest.mark.parametrize("code", ERROR_CODES)
def test_an_error_event_becomes_the_error_of_its_code(code: str) -> None:
    error = {
        "code": code,
        "message": "what\x1b[31m\nhappened",
        "mend": "do this",
        "traceback": "Traceback: x",
    }
    found = failure(Said(HELLO, {"event": "error", "error": error}, status=1))
    assert type(found).code == code
    assert found.target == "board"
    assert found.message == "what\N{REPLACEMENT CHARACTER}[31m happened"
    assert found.mend == "do this"
    assert found.__notes__ == ["on the device: Traceback: x"]


@pytest.mark.parametrize(
    "error", [None, 7, {}, {"code": "odd", "message": "x"}, {"code": "busy"}, {"code": "busy", "message": 7}]
)
def test_an_error_event_that_is_none_is_a_mismatch(error: Any) -> None:
    assert isinstance(failure(Said(HELLO, {"event": "error", "error": error})), ProtocolMismatch)


@pytest.mark.parametrize(
    "lines",
    [
        ["Welcome to Debian"],
        ["[]"],
        ["{}"],
        ['{"event": 7}'],
        ["\x1b[2J"],
        ["[" * 100_000],
        [{"event": "done"}],
        [{"event": "hello"}],
        [{**HELLO, "protocol": PROTOCOL_VERSION + 1}],
        [{**HELLO, "protocol": True}],
        [{**HELLO, "protocol": "1\x1b[2J"}],
        [HELLO, "garbage"],
        [HELLO, {"event": "surprise"}],
        [HELLO, {"event": "phase", "name": {"deep": 1}}],
        [HELLO, {"event": "phase", "name": "x" * 201}],
        [HELLO, {"event": "phase", **{f"k{number}": 1 for number in range(20)}}],
        [HELLO, {"event": "progress", "done": 1 << 70}],
    ],
)
def test_what_is_not_the_protocol_is_refused(lines: list[Any]) -> None:
    found = failure(Said(*lines))
    assert isinstance(found, ProtocolMismatch)
    assert str(found).isprintable()


def test_endless_events_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.device.answers._MAX_EVENTS", 100)
    events: list[dict[str, Any]] = [{"event": "phase", "name": "x"}] * 200
    found = failure(Said(HELLO, *events))
    assert isinstance(found, ProtocolMismatch)


def test_noise_before_the_first_event_points_at_the_shell() -> None:
    assert "start-up files" in failure(Said("Welcome", HELLO)).mend


@pytest.mark.parametrize(
    ("process", "said"),
    [
        (Said(status=1, stderr="Traceback\nImportError: x\x1b[2J"), "status 1"),
        (Said(HELLO, status=137), "killed"),
        (Said(HELLO, status=-9), "killed"),
        (Said(HELLO, status=-1), "by a signal"),
        (Said(HELLO, {"event": "phase", "name": "load"}, status=0), "before it had answered"),
    ],
)
def test_an_agent_that_ends_early_is_at_fault(process: Said, said: str) -> None:
    found = failure(process)
    assert isinstance(found, AgentFault)
    assert said in str(found)


def test_disk_full_is_stable_and_keeps_its_mend() -> None:
    error = {"code": "disk-full", "message": "no space", "mend": "free some"}
    assert str(failure(Said(HELLO, {"event": "error", "error": error}))) == "board: no space (free some)"
    assert DiskFull.exit_code == 1
