"""Running the vendors' small commands, where the device has them."""

import os
import subprocess
from typing import NamedTuple, Sequence

from .sysfs import MAX_BYTES, SensorError

#: Where boards keep these commands; a shell opened over ssh often lacks the last three.
_PLACES = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", "/opt/vc/bin", "/system/bin")

TIMEOUT_S = 2.0


class Answer(NamedTuple):
    """What a command printed on its standard output and how it ended."""

    text: str
    code: int


def locate(name: str, root: str = "/", path: str = "") -> str:
    """The command's absolute path, or an empty string when the device does not have it.

    ``path`` is searched first. Below a ``root`` other than ``/`` only that tree's own commands count,
    so that a fixture is never answered by the machine it lies on.
    """
    if root == "/":
        places = [path, os.environ.get("PATH", ""), *_PLACES]
    else:
        places = [path, *(os.path.join(root, place.lstrip("/")) for place in _PLACES)]
    for place in os.pathsep.join(places).split(os.pathsep):
        candidate = os.path.join(place, name)
        if place and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return os.path.abspath(candidate)
    return ""


def run(command: Sequence[str], timeout_s: float = TIMEOUT_S) -> Answer:
    """Run ``command`` to its end.

    Raises:
        SensorError: it cannot be started, or does not end within ``timeout_s``.
    """
    name = os.path.basename(command[0])
    environment = dict(os.environ, LC_ALL="C")
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise SensorError(f"{name} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise SensorError(f"{name} cannot be started: {error.strerror}") from error
    return Answer(done.stdout[:MAX_BYTES].decode("utf-8", "replace").strip(), done.returncode)
