"""The agent of one device as something to ask: one command, its events, and its checked answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from edgewright.errors import ProtocolMismatch
from edgewright.transport import Transport
from edgewright_agent import protocol as wire

from .answers import OnEvent, ignore, last_event
from .preparing import Agent

#: How long a command may take that does little.
COMMAND_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class AgentLink:
    """An agent in place on a device that is connected.

    Attributes:
        store_limit_bytes: what its store may hold; 0 leaves it to the device.
    """

    target: str
    transport: Transport
    agent: Agent
    store_limit_bytes: int = 0

    def ask(
        self,
        kind: str | tuple[str, ...],
        *words: str,
        stdin: bytes | Iterable[bytes] = b"",
        timeout_s: float = COMMAND_S,
        on_event: OnEvent = ignore,
        on_answer: Mapping[str, OnEvent] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Run one command of the agent and return its last event, which is of ``kind``, or one of several.

        Args:
            on_answer: called with the events of these names, which are answers that do not end it.

        Raises:
            DeviceError: what the agent reported, or what kept it from answering.
        """
        process = self.transport.start(self.agent.argv(*words), stdin=stdin, timeout_s=timeout_s)
        kinds = (kind,) if isinstance(kind, str) else kind
        return last_event(self.target, process, kinds, on_event, on_answer)

    def decoded(self, kind: type[T], data: Any, where: str) -> T:
        """As :func:`decoded`."""
        return decoded(self.target, kind, data, where)


def decoded(target: str, kind: type[T], data: Any, where: str) -> T:
    """A value out of an answer, checked against its type.

    Raises:
        ProtocolMismatch: it is something else.
    """
    try:
        return wire.decode(kind, data, where)
    except wire.WireError as error:
        raise ProtocolMismatch(target, f"the agent's answer is not valid: {error}") from None
