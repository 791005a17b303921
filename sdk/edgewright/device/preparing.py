"""Making a device ready: is there a Python that will do, and is the agent there."""

from __future__ import annotations

import enum
import posixpath
from contextlib import closing
from dataclasses import dataclass

from edgewright.agent_archive import AgentArchive
from edgewright.errors import DeviceError, DiskFull, MissingRuntime, ProtocolMismatch, StableDeviceError
from edgewright.transport import Transport
from edgewright.untrusted import one_line, read_json
from edgewright_agent.protocol import WireError, decode
from edgewright_agent.protocol_provision import FOLDER, RECORD, EnvRecord

from .environment import environment_for, python_in
from .no_python import no_python, other_python

MIN_PYTHON = (3, 8)
_CHECK_S = 120.0


class Need(enum.Enum):
    """What a Python on the device must do.

    RUN: run jobs, so it needs numpy. LOOK: tell of the device. BARE: the same, and not in an environment.
    """

    RUN = "run"
    LOOK = "look"
    BARE = "bare"


#: Words: workdir, the archive's SHA-256, ``numpy`` where it is needed. One line of JSON: :class:`_Found`. It
#: must run on any Python there ever was, since its first duty is to say which one it is.
_CHECK = """
import sys
sys.path[:] = [p for p in sys.path if p]
import errno, hashlib, json, os
root = os.path.join(os.path.expanduser("~"), sys.argv[1])
found = {"python": list(sys.version_info[:3]), "numpy": "", "reason": "", "root": root, "agent": "",
         "writable": "", "full": False, "record": ""}
if sys.version_info >= (3, 8):
    try:
        import numpy
        found["numpy"] = numpy.__version__
    except ImportError as error:
        found["reason"] = str(error)[:500]
if found["numpy"] or (sys.version_info >= (3, 8) and sys.argv[3] != "numpy"):
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
try:
    with open(os.path.join(root, RECORD), "rb") as stream:
        found["record"] = stream.read(1 << 16).decode("utf-8", "replace")
except (IOError, OSError):
    pass  # most devices have none
sys.stdout.write(json.dumps(found) + chr(10))
""".replace("RECORD", repr(posixpath.join(FOLDER, RECORD)))


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
    record: str


@dataclass(frozen=True)
class Agent:
    """The agent in place: ``python archive --root root COMMAND``."""

    python: str
    archive: str
    root: str

    def argv(self, *words: str) -> list[str]:
        """The words of one command."""
        return [self.python, self.archive, "--root", self.root, *words]


def prepare(
    target: str,
    transport: Transport,
    python: str,
    workdir: str,
    archive: AgentArchive,
    need: Need = Need.RUN,
) -> Agent:
    """Check the device's Python and what it needs, and push the agent unless the very same is there.

    The environment that stands in for ``python`` takes its place, where there is one.

    Raises:
        MissingRuntime: no Python, one that is too old, or none with numpy.
        DiskFull, StableDeviceError: the agent's folder cannot be written.
        ProtocolMismatch: what the device says is no answer.
    """
    check = _Check(target, transport, workdir, archive.sha256, need)
    found = check.ask(python)
    holds = environment_for(python, found.record) if need is not Need.BARE else None
    if holds is not None:
        python = python_in(found.root, holds)
        found = check.ask_environment(python, holds)
    check.judge(python, found)
    agent = Agent(python, posixpath.join(found.root, "agent", f"{archive.sha256}.pyz"), found.root)
    if found.agent != archive.sha256:
        transport.put(archive.path, agent.archive)
        arrived = check.ask(python).agent
        if arrived != archive.sha256:
            raise ProtocolMismatch(
                target, f"{agent.archive}: arrived damaged, its SHA-256 is {arrived or 'missing'}"
            )
    return agent


@dataclass(frozen=True)
class _Check:
    """Asking a Python on the device about itself."""

    target: str
    transport: Transport
    workdir: str
    sha256: str
    need: Need

    def ask(self, python: str) -> _Found:
        needs = "numpy" if self.need is Need.RUN else ""
        words = [python, "-c", _CHECK, self.workdir, self.sha256, needs]
        process = self.transport.start(words, timeout_s=_CHECK_S)
        with closing(process):
            lines = process.lines()
            line = next(lines, "")
            if next(lines, None) is not None:
                raise self._no_answer(python, line, "and more than this one line")
            status, said = process.finish()
        if status != 0 or not line:
            raise no_python(self.target, self.transport, python, status, said)
        try:
            return decode(_Found, read_json(line), "check")
        except (ValueError, WireError) as error:
            raise self._no_answer(python, line, str(error)) from None

    def _no_answer(self, python: str, line: str, why: str) -> ProtocolMismatch:
        return ProtocolMismatch(
            self.target,
            f"{python} answered {one_line(line, 80)!r}: {why}",
            mend="is it a Python, and a quiet one?",
        )

    def ask_environment(self, python: str, holds: EnvRecord) -> _Found:
        """As :meth:`ask`; an environment whose Python is gone or another one is not fit for use."""
        try:
            found = self.ask(python)
        except MissingRuntime as error:
            reason = error.message
        else:
            version = ".".join(map(str, found.python[:3]))
            if version.split(".")[:2] == holds.python.split(".")[:2] and found.numpy:
                return found
            lacks = f"its Python is {version} now" if found.numpy else f"no numpy: {one_line(found.reason)}"
            reason = f"made with Python {one_line(holds.python, 20)}, {lacks}"
        raise MissingRuntime(
            self.target,
            f"the environment of provision is damaged: {reason}",
            mend=f"edgewright device provision {self.target}",
        )

    def judge(self, python: str, found: _Found) -> None:
        """Raise for the first thing that is not good enough."""
        target = self.target
        version = ".".join(map(str, found.python[:3]))
        needed = ".".join(map(str, MIN_PYTHON))
        if found.python[:2] < MIN_PYTHON:
            raise MissingRuntime(
                target,
                f"{python} is Python {version}, the agent needs {needed} or newer",
                mend=other_python(target),
            )
        if not found.numpy and self.need is Need.RUN:
            raise MissingRuntime(
                target,
                f"{python} (Python {version}) has no numpy: {one_line(found.reason)}",
                mend=f"edgewright device provision {target}, or {python} -m pip install numpy there",
            )
        if not posixpath.isabs(found.root):
            raise ProtocolMismatch(target, f"the agent's folder is no absolute path: {one_line(found.root)}")
        if found.writable:
            kind: type[DeviceError] = DiskFull if found.full else StableDeviceError
            mend = "free some space there" if found.full else f"set workdir for {target} in the farm file"
            raise kind(target, f"the agent's folder cannot be used: {one_line(found.writable)}", mend=mend)
