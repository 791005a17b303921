"""What a device is before anything is on it: its Python, C library, folder, memory, disk and clock.

Asked with one small script that any Python runs, so that it also works where numpy is missing, the disk is
full or the Python too old, and says so.
"""

from __future__ import annotations

import posixpath
import time
from contextlib import closing
from dataclasses import dataclass

from edgewright.errors import ProtocolMismatch
from edgewright.transport import Transport
from edgewright.untrusted import one_line, read_json
from edgewright_agent.protocol import WireError, decode
from edgewright_agent.protocol_provision import FOLDER, RECORD

from .clock import ClockBounds
from .no_python import no_python

_FACTS_S = 120.0

#: Words: workdir. One line of JSON: :class:`Facts`. It must run on any Python there ever was.
_SCRIPT = r"""
import sys, time
began = time.time()
sys.path[:] = [p for p in sys.path if p]
import glob, json, os, platform, re, subprocess
root = os.path.join(os.path.expanduser("~"), sys.argv[1])
def text(path, size=65536):
    try:
        with open(path, "rb") as stream:
            return stream.read(size).decode("utf-8", "replace")
    except (IOError, OSError):
        return ""
def libc():
    if hasattr(sys, "getandroidapilevel"):
        return "bionic"
    try:
        told = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError, AttributeError):
        told = None
    if told:
        return told
    for path in glob.glob("/lib/ld-musl-*.so.1"):
        said = subprocess.Popen([path], stdout=subprocess.PIPE, stderr=subprocess.PIPE).communicate()[1]
        match = re.search("Version ([0-9.]+)", said.decode("utf-8", "replace"))
        return "musl " + match.group(1) if match else "musl"
    return ""
def has(name):
    if sys.version_info < (3, 4):
        return False
    import importlib.util
    return importlib.util.find_spec(name) is not None
def numpy():
    try:
        import numpy
        return [numpy.__version__, ""]
    except ImportError as error:
        return ["", str(error)[:500]]
def held(path):
    import fcntl
    try:
        handle = os.open(path, os.O_RDWR)
    except (IOError, OSError):
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return ""
    except (IOError, OSError):
        return text(path, 400) or "somebody"
    finally:
        os.close(handle)
def sysconfig_of(name):
    import sysconfig
    return sysconfig.get_config_var(name)
there = root
while not os.path.isdir(there) and os.path.dirname(there) != there:
    there = os.path.dirname(there)
space = os.statvfs(there)
memory = re.search(r"^MemAvailable:\s*([0-9]+) kB", text("/proc/meminfo"), re.M)
agent = os.path.join(root, "agent")
names = os.listdir(agent) if os.path.isdir(agent) and os.access(agent, os.R_OK | os.X_OK) else []
names = [n for n in sorted(names) if n.endswith(".pyz")][:100]
agents = dict((n[:-4], os.path.getsize(os.path.join(agent, n))) for n in names)
version = numpy() if sys.version_info >= (3, 8) else ["", ""]
flag = getattr(space, "f_flag", 0)
found = {
    "version": list(sys.version_info[:3]),
    "implementation": platform.python_implementation(),
    "is_free_threaded": bool(sysconfig_of("Py_GIL_DISABLED")),
    "is_64_bit": sys.maxsize > 2**32,
    "machine": platform.machine(),
    "release": platform.release(),
    "libc": libc(),
    "has_venv": has("venv"),
    "is_venv": sys.prefix != getattr(sys, "base_prefix", sys.prefix),
    "numpy": version[0],
    "numpy_reason": version[1],
    "root": root,
    "is_writable": os.access(there, os.W_OK | os.X_OK) and not flag & 1,
    "is_noexec": bool(flag & 8),
    "disk_free_bytes": space.f_bavail * space.f_frsize,
    "files_free": space.f_favail if space.f_files else None,
    "memory_available_bytes": int(memory.group(1)) * 1024 if memory else None,
    "agents": agents,
    "holder": held(os.path.join(root, "busy")),
    "record": text(os.path.join(root, RECORD)),
    "wall_s": [began, time.time()],
}
sys.stdout.write(json.dumps(found) + chr(10))
"""
_SCRIPT = _SCRIPT.replace("RECORD", repr(posixpath.join(FOLDER, RECORD)))


@dataclass(frozen=True)
class Facts:
    """What the script found; every text is the device's own word.

    Attributes:
        version: of its Python.
        libc: such as ``glibc 2.36``, ``musl 1.2.3``, ``bionic``; empty when it cannot be told.
        root: the agent's folder, absolute; it need not exist.
        is_noexec: libraries cannot be loaded from there.
        files_free: how many more files there may be; None where the file system knows no such limit.
        agents: how many bytes each agent there takes, by its SHA-256.
        holder: whose job holds the device; empty when none does.
        record: of the environment that was made there; its text, which anybody may have written.
        wall_s: its real-time clock, in seconds since 1970, when the script began and when it ended.
    """

    version: tuple[int, ...]
    implementation: str
    is_free_threaded: bool
    is_64_bit: bool
    machine: str
    release: str
    libc: str
    has_venv: bool
    is_venv: bool
    numpy: str
    numpy_reason: str
    root: str
    is_writable: bool
    is_noexec: bool
    disk_free_bytes: int
    files_free: int | None
    memory_available_bytes: int | None
    agents: dict[str, int]
    holder: str
    record: str
    wall_s: tuple[float, ...]

    @property
    def python(self) -> str:
        """Its version as people write it."""
        return ".".join(map(str, self.version[:3]))

    @property
    def system_numpy(self) -> str:
        """The numpy that an environment made with it can use; empty where there is none."""
        return "" if self.is_venv else self.numpy

    @property
    def arch(self) -> str:
        """What wheels are named by; a 32-bit Python on a 64-bit kernel is a 32-bit machine."""
        machine = {"amd64": "x86_64", "arm64": "aarch64", "armv8l": "armv7l"}.get(self.machine, self.machine)
        if self.is_64_bit:
            return machine
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine, machine)


@dataclass(frozen=True)
class Answered:
    """The facts, and how far the device's real-time clock is from this host's."""

    facts: Facts
    clock: ClockBounds
    round_trip_s: float


def ask_facts(target: str, transport: Transport, python: str, workdir: str) -> Answered:
    """Run the script.

    Raises:
        MissingRuntime: there is no such Python.
        ProtocolMismatch: what answers is none.
    """
    began_ns, asked_ns = time.monotonic_ns(), time.time_ns()
    process = transport.start([python, "-c", _SCRIPT, workdir], timeout_s=_FACTS_S)
    with closing(process):
        line = next(process.lines(), "")
        taken_ns = time.monotonic_ns() - began_ns
        status, said = process.finish()
    if status != 0 or not line:
        raise no_python(target, transport, python, status, said)
    try:
        facts = decode(Facts, read_json(line), "facts")
    except (ValueError, WireError) as error:
        raise ProtocolMismatch(
            target,
            f"{python} answered {one_line(line, 80)!r}: {error}",
            mend="is it a Python, and a quiet one?",
        ) from None
    if not posixpath.isabs(facts.root) or len(facts.wall_s) != 2:
        raise ProtocolMismatch(target, f"{python} answered nonsense: its folder is {one_line(facts.root)!r}")
    began_there_ns, ended_there_ns = (round(seconds * 1e9) for seconds in facts.wall_s)
    clock = ClockBounds(asked_ns - began_there_ns, asked_ns + taken_ns - ended_there_ns)
    return Answered(facts, clock, taken_ns / 1e9)
