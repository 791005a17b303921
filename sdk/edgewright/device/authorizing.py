"""Whose models a device runs: asked, and decided."""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgewright.errors import ProtocolMismatch
from edgewright_agent.protocol import WireError
from edgewright_agent.protocol_keys import PublicKey, parse_public_key

from .agent_link import AgentLink

_MOST_KEYS = 1000


def exchange_keys(link: AgentLink, keys: Sequence[PublicKey] | None) -> tuple[PublicKey, ...]:
    """The keys whose models the device runs; after making them ``keys``, unless that is None.

    Raises:
        ProtocolMismatch: what it answers are no keys.
        Unverified: the device's own list cannot be believed.
    """
    lines = None if keys is None else [key.line for key in keys]
    event = link.ask("keys", "keys", stdin=json.dumps({"keys": lines}).encode())
    told = link.decoded(tuple[str, ...], event.get("keys"), "keys")
    try:
        return tuple(map(parse_public_key, told[:_MOST_KEYS]))
    except WireError as error:
        raise ProtocolMismatch(link.target, f"the device's keys are none: {error}") from None
