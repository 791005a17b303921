"""An environment of the agent's own: what to install in it, and what came of it."""

import re
from dataclasses import dataclass, field
from typing import Dict, Sequence, Tuple

from .protocol_model import FileRef

#: ROOT/env/RECORD says which environment holds; ROOT/env/NAME are the environments.
FOLDER, RECORD = "env", "current.json"

_ADDRESS = re.compile(r"\S*://\S+")
_UNREACHABLE = (
    "retrying (",
    "connection broken",
    "could not fetch url",
    "failed to establish a new connection",
)
_FULL = ("no space left", "quota exceeded")


@dataclass(frozen=True)
class Provision:
    """The environment to make.

    Attributes:
        request: tells it from any other; the same again, after the connection broke, is done once.
        made_for: the Python it stands in for, as the farm file names it.
        runtimes: what must work in it, see :data:`.protocol.RUNTIMES`.
        pip: the wheel of the pip that installs.
        wheels: what is installed, all of it; when there are none, ``requirements`` say it.
        requirements: what pip fetches from the index that the device is set up for.
        uses_system: the packages of the Python it is made with are seen in it.
        owner: who asks, for people.
    """

    request: str
    made_for: str
    runtimes: Tuple[str, ...]
    pip: FileRef
    wheels: Tuple[FileRef, ...] = ()
    requirements: Tuple[str, ...] = ()
    uses_system: bool = False
    owner: str = ""


@dataclass(frozen=True)
class EnvRecord:
    """The environment that holds, as kept on the device.

    Attributes:
        name: its folder's.
        made_for: the Python it stands in for, as the farm file names it.
        python: the version it was made with, such as ``3.11.2``.
        runtimes: those that worked in it when it was made.
        packages: the version of each, by name.
        request: that of the :class:`Provision` it answers.
    """

    name: str
    made_for: str
    python: str
    runtimes: Tuple[str, ...]
    packages: Dict[str, str] = field(default_factory=dict)
    request: str = ""


def pip_reason(lines: Sequence[str]) -> Tuple[str, str]:
    """Why pip failed, from what it printed: ``disk-full``, ``unreachable`` or ``refused``, and its own words.

    Addresses are left out of the words: those of an index may hold passwords.
    """
    text = "\n".join(lines).lower()
    said = [line.split("ERROR:", 1)[1] for line in lines if "ERROR:" in line] or list(lines[-1:])
    words = " ".join(said[-1].split()) if said else ""
    reason = _ADDRESS.sub("<address>", words)[:400] or "it does not say why"
    if any(words in text for words in _FULL):
        return "disk-full", reason
    if any(words in text for words in _UNREACHABLE):
        return "unreachable", reason
    return "refused", reason
