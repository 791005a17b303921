"""Taking everything of Edgewright's off a device, whatever state it is in.

One small script does it and not the agent: a full disk has no room for an agent, and a device without numpy
runs none.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from edgewright.agent_archive import agent_archive
from edgewright.errors import DeviceBusy, MissingRuntime, ProtocolMismatch, StableDeviceError
from edgewright.transport import Transport
from edgewright.untrusted import one_line, read_json
from edgewright_agent.protocol import WireError, decode
from edgewright_agent.protocol_provision import FOLDER, RECORD

from .agent_link import AgentLink
from .connecting import DeviceTarget, connect_to
from .preparing import Need, prepare

_CLEAN_S = 600.0

#: Words: workdir, ``force`` or nothing. One line of JSON: :class:`_Answer`. What else somebody keeps in these
#: folders stays, and so do the folders then.
_SCRIPT = r"""
import sys
sys.path[:] = [p for p in sys.path if p]
import errno, fcntl, json, os, re, shutil, signal, time
root = os.path.join(os.path.expanduser("~"), sys.argv[1])
force = sys.argv[2] == "force"
answer = {"root": root, "freed_bytes": 0, "cancelled": 0, "busy": "", "has_settings": False,
          "reason": ""}

def is_held(path):
    try:
        handle = os.open(path, os.O_RDWR)
    except EnvironmentError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except EnvironmentError:
        return True
    finally:
        os.close(handle)

def text(path):
    with open(path, "rb") as stream:
        return stream.read(400).decode("utf-8", "replace")

def end(path):
    for number in (signal.SIGTERM, signal.SIGKILL):
        pid = text(path)
        if pid.isdigit():
            try:
                os.kill(int(pid), number)
            except OSError as error:
                if error.errno != errno.ESRCH:
                    raise
        until = time.time() + 10
        while time.time() < until:
            if not is_held(path):
                return
            time.sleep(0.05)

def remove(path):
    if os.path.islink(path) or not os.path.isdir(path):
        answer["freed_bytes"] += os.lstat(path).st_size
        os.unlink(path)
        return
    for where, _, names in os.walk(path):
        answer["freed_bytes"] += sum(os.lstat(os.path.join(where, name)).st_size for name in names)
    shutil.rmtree(path)

def ours(folder, pattern):
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            if re.match(pattern + "$", name):
                remove(os.path.join(folder, name))
        if not os.listdir(folder) and not os.path.ismount(folder):
            os.rmdir(folder)

def clean():
    jobs = os.path.join(root, "jobs")
    alive = [os.path.join(jobs, name, "alive") for name in (os.listdir(jobs) if os.path.isdir(jobs) else [])]
    for path in filter(is_held, alive):
        if force:
            end(path)
            answer["cancelled"] += 1
    busy = os.path.join(root, "busy")
    if any(is_held(path) for path in alive) or is_held(busy):
        answer["busy"] = (text(busy) if os.path.isfile(busy) else "") or "a job"
        return
    answer["has_settings"] = os.path.exists(os.path.join(root, "conditions", "record.json"))
    if answer["has_settings"]:
        return
    for name in ("jobs", "store", "engines", "conditions"):
        if os.path.isdir(os.path.join(root, name)):
            remove(os.path.join(root, name))
    ours(os.path.join(root, "agent"), r"[0-9a-f]+\.pyz(\.part)?")
    ours(os.path.join(root, ENV), r"[0-9a-f]{8}|" + re.escape(RECORD) + r"(\.tmp)?")
    ours(root, "(busy|spool[.]lock|uses[.]json|authorized_keys)([.]tmp)?")

try:
    clean()
except EnvironmentError as error:
    answer["reason"] = str(error)[:500]
sys.stdout.write(json.dumps(answer) + chr(10))
"""
_SCRIPT = _SCRIPT.replace("ENV", repr(FOLDER), 1).replace("re.escape(RECORD)", f"re.escape({RECORD!r})")


@dataclass(frozen=True)
class _Answer:
    """What became of it; nothing was removed when it is ``busy`` or has settings to be set back."""

    root: str
    freed_bytes: int
    cancelled: int
    busy: str
    has_settings: bool
    reason: str


@dataclass(frozen=True)
class Cleaned:
    """How many bytes it freed, and how many jobs it ended before."""

    freed_bytes: int
    cancelled: int


def clean(target: DeviceTarget, transport: Transport, *, force: bool = False) -> Cleaned:
    """Remove the store, jobs, engines, environment, agents, and the folder itself when nothing else is in it.

    What a job changed on the device and could not set back is set back before.

    Args:
        force: end the jobs that run; their results are lost.

    Raises:
        DeviceBusy: a job runs, or an environment is being made.
        MissingRuntime: there is no such Python, so it cannot have held anything either.
    """
    answer = _run(target, transport, force)
    freed, cancelled = 0, answer.cancelled
    if answer.has_settings:
        agent = prepare(target.name, transport, target.python, target.workdir, agent_archive(), Need.BARE)
        link = AgentLink(target.name, transport, agent)
        freed = link.decoded(int, link.ask("cleaned", "clean").get("freed_bytes"), "freed_bytes")
        answer = _run(target, transport, force)
    if answer.reason:
        raise StableDeviceError(
            target.name, f"{one_line(answer.root)}: not all removed: {one_line(answer.reason)}"
        )
    return Cleaned(freed + answer.freed_bytes, cancelled)


def clean_up(target: DeviceTarget, *, force: bool = False) -> Cleaned:
    """Connect and :func:`clean`."""
    with closing(connect_to(target)) as transport:
        return clean(target, transport, force=force)


def _run(target: DeviceTarget, transport: Transport, force: bool) -> _Answer:
    python, workdir = target.python, target.workdir
    process = transport.start([python, "-c", _SCRIPT, workdir, "force" if force else ""], timeout_s=_CLEAN_S)
    with closing(process):
        line = next(process.lines(), "")
        status, said = process.finish()
    if status != 0 or not line:
        words = one_line(said[-400:]) or f"status {status}"
        raise MissingRuntime(
            target.name, f"cannot run {python} on the device: {words}", mend=f"remove {workdir} there by hand"
        )
    try:
        answer = decode(_Answer, read_json(line), "answer")
    except (ValueError, WireError) as error:
        raise ProtocolMismatch(target.name, f"{python} answered {one_line(line, 80)!r}: {error}") from None
    if answer.busy:
        raise DeviceBusy(
            target.name,
            f"the device is held by {one_line(answer.busy)}",
            mend=f"wait, or end it: edgewright device clean {target.name} --force",
        )
    return answer
