"""Making a device ready: is there a Python that will do, and is the agent there."""

from __future__ import annotations

import posixpath
from contextlib import closing
from dataclasses import dataclass

from edgewright.agent_archive import AgentArchive
from edgewright.errors import DeviceError, DiskFull, MissingRuntime, ProtocolMismatch, StableDeviceError
from edgewright.transport import Transport
from edgewright.untrusted import one_line, read_json
from edgewright_agent.protocol import WireError, decode

MIN_PYTHON = (3, 8)
_CHECK_S = 120.0

#: Words: workdir, the archive's SHA-256. One line of JSON: :class:`_Found`. It must run on any Python
#: there ever was, since its first duty is to say which one it is.
_CHECK = """
import sys
sys.path[:] = [p for p in sys.path if p]
import errno, hashlib, json, os
root = os.path.join(os.path.expanduser("~"), sys.argv[1])
found = {"python": list(sys.version_info[:3]), "numpy": "", "reason": "", "root": root, "agent": "",
         "writable": "", "full": False}
if sys.version_info >= (3, 8):
    try:
        import numpy
        found["numpy"] = numpy.__version__
    except ImportError as error:
        found["reason"] = str(error)[:500]
if found["numpy"]:
    folder = os.path.join(root, "agent")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), folder)
        path = os.path.join(folder, sys.argv[2] + ".pyz")
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                found["agent"] = hashlib.sha256(stream.read(1 << 24)).hexdigest()
    except OSError as error:
        found["writable"] = str(error)[:500]
        found["full"] = error.errno in (errno.ENOSPC, errno.EDQUOT)
sys.stdout.write(json.dumps(found) + chr(10))
"""

#: Words: root. Removes the agents and, when nothing else is in it, the root itself.
_REMOVE = """
import os, sys
root = sys.argv[1]
folder = os.path.join(root, "agent")
if os.path.isdir(folder):
    for name in os.listdir(folder):
        if name.split(".")[0].isalnum() and name.endswith((".pyz", ".pyz.part")):
            os.unlink(os.path.join(folder, name))
for name in ("busy", "spool.lock"):
    path = os.path.join(root, name)
    if os.path.isfile(path):
        os.unlink(path)
for path in (folder, root):
    if os.path.isdir(path) and not os.listdir(path):
        os.rmdir(path)
"""


@dataclass(frozen=True)
class _Found:
    """What the check found on the device."""

    python: tuple[int, ...]
    numpy: str
    reason: str
    root: str
    agent: str
    writable: str
    full: bool


@dataclass(frozen=True)
class Agent:
    """The agent in place: ``python archive --root root COMMAND``."""

    python: str
    archive: str
    root: str

    def argv(self, *words: str) -> list[str]:
        """The words of one command."""
        return [self.python, self.archive, "--root", self.root, *words]


def prepare(target: str, transport: Transport, python: str, workdir: str, archive: AgentArchive) -> Agent:
    """Check the device's Python and numpy, and push the agent unless the very same is there.

    Raises:
        MissingRuntime: no Python, one that is too old, or none with numpy.
        DiskFull, StableDeviceError: the agent's folder cannot be written.
        ProtocolMismatch: what the device says is no answer.
    """
    found = _check(target, transport, python, workdir, archive.sha256)
    agent = Agent(python, posixpath.join(found.root, "agent", f"{archive.sha256}.pyz"), found.root)
    if found.agent != archive.sha256:
        transport.put(archive.path, agent.archive)
        arrived = _check(target, transport, python, workdir, archive.sha256).agent
        if arrived != archive.sha256:
            raise ProtocolMismatch(
                target, f"{agent.archive}: arrived damaged, its SHA-256 is {arrived or 'missing'}"
            )
    return agent


def remove(target: str, transport: Transport, agent: Agent) -> None:
    """Take the agent off the device again."""
    process = transport.start([agent.python, "-c", _REMOVE, agent.root], timeout_s=_CHECK_S)
    with closing(process):
        status, said = process.finish()
    if status != 0:
        raise StableDeviceError(target, f"{agent.root}: cannot be removed: {one_line(said[-400:])}")


def _check(target: str, transport: Transport, python: str, workdir: str, sha256: str) -> _Found:
    process = transport.start([python, "-c", _CHECK, workdir, sha256], timeout_s=_CHECK_S)
    with closing(process):
        line = next(process.lines(), "")
        status, said = process.finish()
    if status != 0 or not line:
        raise _no_python(target, python, status, said)
    try:
        found = decode(_Found, read_json(line), "check")
    except (ValueError, WireError) as error:
        raise ProtocolMismatch(
            target,
            f"{python} answered {one_line(line, 80)!r}: {error}",
            mend="is it a Python, and a quiet one?",
        ) from None
    _judge(target, python, found)
    return found


def _judge(target: str, python: str, found: _Found) -> None:
    """Raise for the first thing that is not good enough."""
    version = ".".join(map(str, found.python[:3]))
    needed = ".".join(map(str, MIN_PYTHON))
    if found.python[:2] < MIN_PYTHON:
        raise MissingRuntime(
            target,
            f"{python} is Python {version}, the agent needs {needed} or newer",
            mend=_other_python(target),
        )
    if not found.numpy:
        raise MissingRuntime(
            target,
            f"{python} (Python {version}) has no numpy: {one_line(found.reason)}",
            mend=f"{python} -m pip install numpy there, or {_other_python(target)}",
        )
    if not posixpath.isabs(found.root):
        raise ProtocolMismatch(target, f"the agent's folder is no absolute path: {one_line(found.root)}")
    if found.writable:
        kind: type[DeviceError] = DiskFull if found.full else StableDeviceError
        mend = "free some space there" if found.full else f"set workdir for {target} in the farm file"
        raise kind(target, f"the agent's folder cannot be used: {one_line(found.writable)}", mend=mend)


def _no_python(target: str, python: str, status: int, said: str) -> MissingRuntime:
    words = one_line(said[-400:]) or f"status {status}"
    what = "there is no" if status == 127 else "cannot run"
    return MissingRuntime(target, f"{what} {python} on the device: {words}", mend=_other_python(target))


def _other_python(target: str) -> str:
    return f'set python = "/path/to/python3" for {target} in the farm file'
