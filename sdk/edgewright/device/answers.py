"""What an agent answers: events read one by one, each checked before it is believed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Any

from edgewright.errors import (
    AgentFault,
    DeviceError,
    ProtocolMismatch,
    device_errors,
)
from edgewright.transport import Process
from edgewright.untrusted import one_line, read_json
from edgewright_agent.protocol import ERROR_CODES, PROTOCOL_VERSION, AgentError, WireError, decode

#: Called with each ``phase`` and ``progress`` event: a flat mapping, its texts cleaned.
OnEvent = Callable[[Mapping[str, Any]], None]

ERRORS = {code: kind for code, kind in device_errors().items() if code in ERROR_CODES}

_FLEETING = ("phase", "progress")
#: Phases that only this host may tell of.
_HOST_S_OWN = ("reconnect", "reconnected", "left", "push-again")
_MAX_EVENTS = 1 << 18
_MAX_KEYS = 16
_MAX_WORD = 200
_MAX_MESSAGE = 2000
_SIGNALLED, _KILLED = 128, (-9, 137)


class AgentKilled(AgentFault):
    """The command that asked was killed on the device; what it asked for is not known to have failed."""


def ignore(event: Mapping[str, Any]) -> None:
    """Take no interest in events."""


def last_event(
    target: str,
    process: Process,
    kinds: Collection[str],
    on_event: OnEvent = ignore,
    on_answer: Mapping[str, OnEvent] = MappingProxyType({}),
) -> dict[str, Any]:
    """Read one agent command to its end.

    Args:
        kinds: the events that end it well.
        on_event: called with what comes before that.
        on_answer: called with the events of these names, which are answers that do not end it.

    Raises:
        ProtocolMismatch: what came is not the protocol, or another version of it.
        DeviceError: what the agent reported, or that it or the connection ended too early.
    """
    due = " or ".join(kinds)
    with closing(process):
        events = _events(target, process)
        _check_hello(target, next(events, None), process)
        for event in events:
            name = event["event"]
            if name in kinds:
                return event
            if name == "error":
                raise reported(target, event)
            if name in on_answer:
                on_answer[name](event)
                continue
            if name not in _FLEETING:
                raise ProtocolMismatch(target, f"the agent sent {one_line(name)!r} where {due!r} was due")
            on_event(_flat(target, event))
        raise _ended(target, process)


def reported(target: str, event: Mapping[str, Any]) -> DeviceError:
    """The error in an ``error`` event; the agent's traceback is kept as a note."""
    try:
        error = decode(AgentError, event.get("error"), "error")
    except WireError as problem:
        return ProtocolMismatch(target, f"the agent's error is not one: {problem}")
    if error.code not in ERRORS:
        return ProtocolMismatch(
            target, f"the agent reports an unknown kind of error: {one_line(error.code)!r}"
        )
    message, mend = one_line(error.message, _MAX_MESSAGE), one_line(error.mend, _MAX_MESSAGE)
    found = ERRORS[error.code](target, message, mend=mend)
    if error.traceback:
        found.add_note(f"on the device: {error.traceback[-_MAX_MESSAGE:]}")
    return found


def _events(target: str, process: Process) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(process.lines()):
        if number > _MAX_EVENTS:
            raise ProtocolMismatch(target, f"the agent sent more than {_MAX_EVENTS} events")
        try:
            event = read_json(line)
        except ValueError as error:
            raise _garbage(target, line, number, one_line(str(error))) from None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise _garbage(target, line, number, "not an event")
        yield event


def _garbage(target: str, line: str, number: int, why: str) -> ProtocolMismatch:
    mend = "" if number else "'ssh HOST true' must print nothing: look into its shell's start-up files"
    return ProtocolMismatch(
        target, f"the device said {one_line(line, 80)!r} where an event was due: {why}", mend=mend
    )


def _check_hello(target: str, event: dict[str, Any] | None, process: Process) -> None:
    if event is None:
        raise _ended(target, process)
    if event["event"] != "hello":
        raise ProtocolMismatch(
            target, f"the agent began with {one_line(event['event'])!r} and not with 'hello'"
        )
    version = event.get("protocol")
    if version != PROTOCOL_VERSION or isinstance(version, bool):
        said = one_line(str(version), 40)
        raise ProtocolMismatch(target, f"the agent speaks protocol {said}, this host {PROTOCOL_VERSION}")


def _flat(target: str, event: dict[str, Any]) -> dict[str, Any]:
    """The event when it is small and flat."""
    flat = all(
        value is None
        or isinstance(value, bool | float)
        or (isinstance(value, int) and abs(value) < 1 << 63)
        or (isinstance(value, str) and len(value) <= _MAX_WORD)
        for value in event.values()
    )
    if event.get("name") in _HOST_S_OWN:
        raise ProtocolMismatch(target, f"the agent sent the phase {event['name']!r}, which is not its own")
    if not flat or len(event) > _MAX_KEYS or any(len(key) > _MAX_WORD for key in event):
        raise ProtocolMismatch(target, f"the agent sent a {event['event']} event that is not small and flat")
    return event


def _ended(target: str, process: Process) -> DeviceError:
    """Why there is no last event, as far as the exit status and standard error tell."""
    status, said = process.finish()
    tail = f": {one_line(said[-500:])}" if said.strip() else ""
    if status in _KILLED:
        return AgentKilled(target, f"the agent was killed{tail}", mend="most often for want of memory")
    if 0 <= status <= _SIGNALLED:
        return AgentFault(target, f"the agent ended with status {status} before it had answered{tail}")
    return AgentKilled(target, f"the agent was ended by a signal before it had answered{tail}")
