"""One device: trusted, made ready, given files and jobs, and believed only after checking."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from edgewright.agent_archive import agent_archive
from edgewright.artifact import sha256_file
from edgewright.errors import ProtocolMismatch
from edgewright.transport import Transport
from edgewright.transport.ssh_config import SshAddress
from edgewright_agent import protocol as wire
from edgewright_agent.protocol_pair import PairJob, PairResult
from edgewright_agent.protocol_spool import JobInfo, Submission, id_of

from .agent_link import COMMAND_S, AgentLink, decoded
from .answers import OnEvent, ignore
from .clock import SAME_CLOCK, ClockBounds
from .errand import Errand
from .lasting import PATIENCE_S, LastingLink
from .preparing import prepare, remove
from .pushing import push
from .results import check_pair, checked_result

__all__ = ["Device", "DeviceTarget", "Errand", "OnEvent"]

T = TypeVar("T")

_PROBE_S = 180.0
_FOLLOW_S = 86_400.0
_CLOCK_TRIES = 3
_IDS_AT_ONCE = 100
_ERRAND = Errand()
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

    def __init__(self, target: DeviceTarget, link: LastingLink) -> None:
        self.target = target
        self._link = link

    @classmethod
    def open(cls, target: DeviceTarget, *, patience_s: float = PATIENCE_S) -> Self:
        """Connect, check Python and numpy, and push the agent when it is not there yet.

        Args:
            patience_s: how long a connection that breaks later on is tried again.

        Raises:
            TransportError, UntrustedHost, AccessDenied: it cannot be reached.
            MissingRuntime, DiskFull: it cannot be used.
        """
        archive = agent_archive()

        def connect() -> AgentLink:
            transport = _connect(target)
            try:
                agent = prepare(target.name, transport, target.python, target.workdir, archive)
            except BaseException:
                transport.close()
                raise
            return AgentLink(target.name, transport, agent)

        return cls(target, LastingLink(connect, patience_s))

    def probe(self) -> wire.Device:
        """What the device says of itself."""
        event = self._ask("device", "probe", timeout_s=_PROBE_S)
        return self._decoded(wire.Device, event.get("device"), "device")

    def run(
        self,
        job: wire.Job,
        files: Mapping[str, Path],
        on_event: OnEvent = ignore,
        errand: Errand = _ERRAND,
    ) -> wire.RunResult:
        """Push what the device lacks and run the job in a fresh process there.

        The job goes on when the connection breaks, and is followed again from where it was. A job that the
        device has run already is not run again: its result is returned. It is kept there until
        :meth:`acknowledge`.

        Args:
            files: where each file the job names is on this host, by SHA-256.
            on_event: called with ``phase`` and ``progress`` events, those of the push included.

        Raises:
            DiskFull: there is no space for the files; nothing was sent.
            DeviceError: whatever kept the job from being done.
        """
        submission = Submission(job=job)
        event = self._submit("result", submission, files, job.limits.timeout_s, on_event, errand)
        return checked_result(self.target.name, event, job.job_id, job.limits.output_bytes)

    def pair(
        self,
        pair: PairJob,
        files: Mapping[str, Path],
        on_event: OnEvent = ignore,
        errand: Errand = _ERRAND,
    ) -> PairResult:
        """Push what the device lacks and let two models take turns there, each launch in a fresh process.

        Args:
            files: where each file the pair names is on this host, by SHA-256.
            on_event: called with ``phase`` and ``progress`` events, those of the push included.

        Raises:
            DeviceError: as :meth:`run`; one failed launch fails all.
        """
        limit_s = pair.plan.budget_ns / 1e9 + 3 * pair.job.limits.timeout_s
        event = self._submit("pair", Submission(pair=pair), files, limit_s, on_event, errand)
        result = self._decoded(PairResult, event.get("result"), "result")
        check_pair(self.target.name, result, pair)
        return result

    def jobs(self) -> tuple[JobInfo, ...]:
        """The jobs that run or wait to be acknowledged, the oldest first."""
        event = self._ask("jobs", "jobs")
        return self._decoded(tuple[JobInfo, ...], event.get("jobs"), "jobs")

    def follow(self, job_id: str, on_event: OnEvent = ignore) -> wire.RunResult | PairResult:
        """Take up a job that was submitted before, by whomever, and return its result.

        Raises:
            DeviceError: the job's own error, or there is no such job.
        """
        event = self._ask(("result", "pair"), "follow", job_id, timeout_s=_FOLLOW_S, on_event=on_event)
        if event["event"] == "pair":
            return self._decoded(PairResult, event.get("result"), "result")
        return checked_result(self.target.name, event, job_id, wire.Limits().output_bytes)

    def acknowledge(self, *job_ids: str) -> None:
        """Let the device forget jobs whose results are safe on this host."""
        for at in range(0, len(job_ids), _IDS_AT_ONCE):
            self._ask("acknowledged", "acknowledge", *job_ids[at : at + _IDS_AT_ONCE])

    def cancel(self, job_id: str) -> None:
        """End a job and forget it."""
        self._ask("cancelled", "cancel", job_id)

    def collect(self, job_id: str, ref: wire.FileRef, into: Path) -> None:
        """Copy an output file of a job to ``into``, exactly as long as announced and with its SHA-256.

        Raises:
            ProtocolMismatch: its name is not a bare file name, or its content not what was announced.
        """
        for name in (job_id, ref.name):
            if not _BARE_NAME.fullmatch(name):
                raise ProtocolMismatch(self.target.name, f"not a bare file name: {name[:80]!r}")

        def get(link: AgentLink, on_event: OnEvent) -> None:
            remote = f"{link.agent.root}/jobs/{job_id}/{ref.name}"
            link.transport.get(remote, into, max_bytes=ref.size_bytes)

        self._link.during(get)
        if into.stat().st_size != ref.size_bytes or sha256_file(into) != ref.sha256:
            into.unlink()
            raise ProtocolMismatch(self.target.name, f"{ref.name}: not the file that was announced")

    def probe_meter(self, meter: wire.Meter) -> wire.MeterInfo:
        """Whether a meter that the device itself reads answers, and how often."""
        request = json.dumps(wire.encode(meter)).encode() + b"\n"
        event = self._ask("meter", "meter", "probe", stdin=request)
        return self._decoded(wire.MeterInfo, event.get("meter"), "meter")

    def clock(self) -> ClockBounds:
        """How far its monotonic clock is from this host's, from a few round trips."""
        if self.target.ssh is None:
            return SAME_CLOCK
        found: ClockBounds | None = None
        for _ in range(_CLOCK_TRIES):
            asked_ns = time.monotonic_ns()
            event = self._ask("clock", "clock")
            answered_ns = time.monotonic_ns()
            told_ns = self._decoded(int, event.get("monotonic_ns"), "monotonic_ns")
            bounds = ClockBounds.of(asked_ns, told_ns, answered_ns)
            found = found.narrowed(bounds) if found else bounds
        assert found
        return found

    def clean(self) -> int:
        """Remove everything Edgewright left on the device, then close; how many bytes that freed.

        Raises:
            DeviceBusy: a job is running.
        """
        event = self._ask("cleaned", "clean")
        freed = self._decoded(int, event.get("freed_bytes"), "freed_bytes")
        self._link.during(lambda link, _: remove(self.target.name, link.transport, link.agent))
        self.close()
        return freed

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit(
        self,
        kind: str,
        submission: Submission,
        files: Mapping[str, Path],
        limit_s: float,
        on_event: OnEvent,
        errand: Errand,
    ) -> dict[str, Any]:
        """Push, submit and follow to the end; whoever interrupts it ends the job too."""
        told = replace(
            submission,
            owner=errand.owner,
            label=errand.label,
            wait_s=errand.wait_s,
            is_tied=errand.is_tied,
        )
        stdin = json.dumps(wire.encode(told)).encode()
        timeout_s = limit_s + errand.wait_s + COMMAND_S

        def work(link: AgentLink, on_event: OnEvent) -> dict[str, Any]:
            return link.ask(kind, "submit", stdin=stdin, timeout_s=timeout_s, on_event=on_event)

        self._link.during(lambda link, on_event: push(link, files, on_event), on_event)
        try:
            return self._link.during(work, on_event)
        except KeyboardInterrupt:
            self.cancel(id_of(submission))
            raise

    def _ask(
        self,
        kind: str | tuple[str, ...],
        *words: str,
        stdin: bytes = b"",
        timeout_s: float = COMMAND_S,
        on_event: OnEvent = ignore,
    ) -> dict[str, Any]:
        return self._link.during(
            lambda link, told: link.ask(kind, *words, stdin=stdin, timeout_s=timeout_s, on_event=told),
            on_event,
        )

    def _decoded(self, kind: type[T], data: Any, where: str) -> T:
        return decoded(self.target.name, kind, data, where)


def _connect(target: DeviceTarget) -> Transport:
    if target.ssh is None:
        from edgewright.transport.local import LocalTransport

        return LocalTransport(target.name)
    from edgewright.transport.ssh import SshTransport

    return SshTransport.open(target.name, target.ssh)
