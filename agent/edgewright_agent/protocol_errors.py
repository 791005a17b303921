"""The part of the protocol that every command needs: the version, and why something was not done.

Kept apart from the rest, since on a small board importing all of it takes longer than many commands do.
"""

from dataclasses import dataclass
from typing import Tuple

PROTOCOL_VERSION = 1

#: What can go wrong on a device, and so what :attr:`AgentError.code` may hold.
ERROR_CODES: Tuple[str, ...] = (
    "invalid-model",
    "invalid-input",
    "model-rejected",
    "missing-runtime",
    "provider-missing",
    "out-of-memory",
    "disk-full",
    "timeout",
    "busy",
    "lost",
    "unverified",
    "conditions-refused",
    "protocol",
    "agent-fault",
)


@dataclass(frozen=True)
class AgentError:
    """Why there is no result; ``code`` is one of :data:`ERROR_CODES`."""

    code: str
    message: str
    mend: str = ""
    traceback: str = ""
