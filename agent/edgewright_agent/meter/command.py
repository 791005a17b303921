"""The agent's ``meter`` command: ``meter probe`` or ``meter record``, the meter in a line of JSON on stdin.

A recording goes on until standard input ends; this is how a host reads a meter of its own.
"""

import json
import sys
from typing import Any, Dict, List

from ..failure import AgentFailure
from ..protocol import Meter, decode, encode
from .recorder import Recorder, probe

_REQUEST_BYTES = 1 << 16


def run(arguments: List[str]) -> Dict[str, Any]:
    """Answer one command.

    Raises:
        AgentFailure: the request is none.
    """
    if arguments not in (["probe"], ["record"]):
        raise AgentFailure("protocol", "meter expects probe or record")
    line = sys.stdin.readline(_REQUEST_BYTES)
    try:
        meter = decode(Meter, json.loads(line))
    except ValueError as error:
        raise AgentFailure("protocol", f"the request is no meter: {error}") from None
    if arguments == ["probe"]:
        return {"event": "meter", "meter": encode(probe(meter))}
    recorder = Recorder(meter)
    recorder.start()
    try:
        while sys.stdin.read(_REQUEST_BYTES):
            pass  # whatever else is said; the end is what counts
    finally:
        recording = recorder.stop()
    return {"event": "recording", "recording": encode(recording)}
