"""One device: trusted, made ready, given files and jobs, and believed only after checking."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from edgewright.agent_archive import agent_archive
from edgewright.artifact import sha256_file
from edgewright.errors import ProtocolMismatch
from edgewright.transport import Transport
from edgewright.transport.ssh_config import SshAddress
from edgewright_agent import protocol as wire
from edgewright_agent.protocol_pair import PairJob, PairResult

from .agent_link import COMMAND_S, AgentLink
from .answers import OnEvent, ignore
from .clock import SAME_CLOCK, ClockBounds
from .pairing import check_pair
from .preparing import prepare, remove
from .pushing import push

__all__ = ["Device", "DeviceTarget", "OnEvent"]

_PROBE_S = 180.0
_CLOCK_TRIES = 3
_BARE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


class DeviceTarget(Protocol):
    """Where a device is and how to use it; ``ssh`` is None for this machine."""

    @property
    def name(self) -> str:
        """Its name in the farm file."""

    @property
    def ssh(self) -> SshAddress | None:
        """Its address."""

    @property
    def python(self) -> str:
        """The interpreter: a command, or a path relative to the device's home directory."""

    @property
    def workdir(self) -> str:
        """The agent's folder, relative to the device's home directory unless absolute."""


class Device:
    """An open device. Use it as a context manager, or close it.

    Every method raises only :class:`~edgewright.errors.DeviceError`, and
    :class:`~edgewright.errors.ConfigError` for what the user wrote.
    """

    def __init__(self, target: DeviceTarget, link: AgentLink) -> None:
        self.target = target
        self._link = link

    @classmethod
    def open(cls, target: DeviceTarget) -> Self:
        """Connect, check Python and numpy, and push the agent when it is not there yet.

        Raises:
            TransportError, UntrustedHost, AccessDenied: it cannot be reached.
            MissingRuntime, DiskFull: it cannot be used.
        """
        archive = agent_archive()
        transport = _connect(target)
        try:
            agent = prepare(target.name, transport, target.python, target.workdir, archive)
        except BaseException:
            transport.close()
            raise
        return cls(target, AgentLink(target.name, transport, agent))

    def probe(self) -> wire.Device:
        """What the device says of itself."""
        event = self._link.ask("device", "probe", timeout_s=_PROBE_S)
        return self._link.decoded(wire.Device, event.get("device"), "device")

    def run(self, job: wire.Job, files: Mapping[str, Path], on_event: OnEvent = ignore) -> wire.RunResult:
        """Push what the device lacks and run the job in a fresh process there.

        Args:
            files: where each file the job names is on this host, by SHA-256.
            on_event: called with ``phase`` and ``progress`` events, those of the push included.

        Raises:
            DiskFull: there is no space for the files; nothing was sent.
            DeviceError: whatever kept the job from being done.
        """
        push(self._link, files, on_event)
        request = json.dumps(wire.encode(job)).encode()
        limit_s = job.limits.timeout_s + COMMAND_S
        event = self._link.ask("result", "run", stdin=request, timeout_s=limit_s, on_event=on_event)
        result = self._link.decoded(wire.RunResult, event.get("result"), "result")
        if result.job_id != job.job_id:
            raise ProtocolMismatch(self.target.name, "the result is another job's")
        sizes = [file.size_bytes for file in result.files]
        if min(sizes, default=0) < 0 or sum(sizes) > job.limits.output_bytes:
            raise ProtocolMismatch(
                self.target.name, f"the outputs are larger than {job.limits.output_bytes} bytes"
            )
        return result

    def pair(self, pair: PairJob, files: Mapping[str, Path], on_event: OnEvent = ignore) -> PairResult:
        """Push what the device lacks and let two models take turns there, each launch in a fresh process.

        Args:
            files: where each file the pair names is on this host, by SHA-256.
            on_event: called with ``phase`` and ``progress`` events, those of the push included.

        Raises:
            DeviceError: as :meth:`run`; one failed launch fails all.
        """
        push(self._link, files, on_event)
        request = json.dumps(wire.encode(pair)).encode()
        limit_s = pair.plan.budget_ns / 1e9 + 3 * pair.job.limits.timeout_s + COMMAND_S
        event = self._link.ask("pair", "pair", stdin=request, timeout_s=limit_s, on_event=on_event)
        result = self._link.decoded(PairResult, event.get("result"), "result")
        check_pair(self.target.name, result, pair)
        return result

    def collect(self, job_id: str, ref: wire.FileRef, into: Path) -> None:
        """Copy an output file of a job to ``into``, exactly as long as announced and with its SHA-256.

        Raises:
            ProtocolMismatch: its name is not a bare file name, or its content not what was announced.
        """
        for name in (job_id, ref.name):
            if not _BARE_NAME.fullmatch(name):
                raise ProtocolMismatch(self.target.name, f"not a bare file name: {name[:80]!r}")
        remote = f"{self._link.agent.root}/jobs/{job_id}/{ref.name}"
        self._link.transport.get(remote, into, max_bytes=ref.size_bytes)
        if into.stat().st_size != ref.size_bytes or sha256_file(into) != ref.sha256:
            into.unlink()
            raise ProtocolMismatch(self.target.name, f"{ref.name}: not the file that was announced")

    def probe_meter(self, meter: wire.Meter) -> wire.MeterInfo:
        """Whether a meter that the device itself reads answers, and how often."""
        request = json.dumps(wire.encode(meter)).encode() + b"\n"
        event = self._link.ask("meter", "meter", "probe", stdin=request)
        return self._link.decoded(wire.MeterInfo, event.get("meter"), "meter")

    def clock(self) -> ClockBounds:
        """How far its monotonic clock is from this host's, from a few round trips."""
        if self.target.ssh is None:
            return SAME_CLOCK
        found: ClockBounds | None = None
        for _ in range(_CLOCK_TRIES):
            asked_ns = time.monotonic_ns()
            event = self._link.ask("clock", "clock")
            answered_ns = time.monotonic_ns()
            told_ns = self._link.decoded(int, event.get("monotonic_ns"), "monotonic_ns")
            bounds = ClockBounds.of(asked_ns, told_ns, answered_ns)
            found = found.narrowed(bounds) if found else bounds
        assert found
        return found

    def clean(self) -> int:
        """Remove everything Edgewright left on the device, then close; how many bytes that freed."""
        event = self._link.ask("cleaned", "clean")
        freed = self._link.decoded(int, event.get("freed_bytes"), "freed_bytes")
        remove(self.target.name, self._link.transport, self._link.agent)
        self.close()
        return freed

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._link.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _connect(target: DeviceTarget) -> Transport:
    if target.ssh is None:
        from edgewright.transport.local import LocalTransport

        return LocalTransport(target.name)
    from edgewright.transport.ssh import SshTransport

    return SshTransport.open(target.name, target.ssh)
