"""The environment that ``device provision`` made on a device, and when it is used.

It stands in for one Python, by the word that the farm file names it with. Another word there, and it is not
used any more; so nothing has to be written into the farm file.
"""

from __future__ import annotations

import json
import posixpath
import re

from edgewright_agent.protocol import WireError, decode
from edgewright_agent.protocol_provision import FOLDER, EnvRecord

_NAME = re.compile(r"[0-9a-f]{8}")


def environment_for(python: str, record: str) -> EnvRecord | None:
    """The environment that stands in for ``python``.

    Args:
        record: the text in its folder; anybody may have written it.
    """
    try:
        found = decode(EnvRecord, json.loads(record), "record")
    except (ValueError, WireError):
        return None
    return found if found.made_for == python and _NAME.fullmatch(found.name) else None


def python_in(root: str, record: EnvRecord) -> str:
    """Its interpreter, an absolute path on the device."""
    return posixpath.join(root, FOLDER, record.name, "bin", "python")
