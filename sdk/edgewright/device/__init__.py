"""One device: trusted, made ready, given files and jobs, and believed only after checking."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from edgewright.agent_archive import agent_archive
from edgewright.artifact import sha256_file
from edgewright.errors import DeviceError, ProtocolMismatch
from edgewright_agent import protocol as wire
from edgewright_agent.protocol_keys import PublicKey
from edgewright_agent.protocol_pair import PairJob, PairResult
from edgewright_agent.protocol_provision import EnvRecord, Provision
from edgewright_agent.protocol_spool import JobInfo, Submission, id_of

from .agent_link import COMMAND_S, AgentLink, decoded
from .answers import OnEvent, ignore
from .authorizing import exchange_keys
from .cleaning import Cleaned, clean, clean_up
from .clock import SAME_CLOCK, ClockBounds
from .connecting import DeviceTarget, connect_to
from .errand import Errand
from .lasting import PATIENCE_S, LastingLink
from .preparing import Need, prepare
from .pushing import push
from .results import check_pair, checked_jobs, checked_result

__all__ = ["Device", "DeviceTarget", "Errand", "Need", "OnEvent", "clean_up"]

T = TypeVar("T")

_PROBE_S = 180.0
_FOLLOW_S = 86_400.0
_PROVISION_S = 7200.0
_CALL_OFF_S = 15.0
_CLOCK_TRIES = 3
_IDS_AT_ONCE = 100
_ERRAND = Errand()
_BARE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


class Device:
    """An open device. Use it as a context manager, or close it.

    Every method raises only :class:`~edgewright.errors.DeviceError`, and
    :class:`~edgewright.errors.ConfigError` for what the user wrote.
    """

    def __init__(self, target: DeviceTarget, link: LastingLink) -> None:
        self.target = target
        self._link = link

    @classmethod
    def open(cls, target: DeviceTarget, *, patience_s: float = PATIENCE_S, need: Need = Need.RUN) -> Self:
        """Connect, check Python and numpy, and push the agent when it is not there yet.

        Args:
            patience_s: how long a connection that breaks later on is tried again.
            need: what for; without numpy a device runs no job, and can still be asked what it is.

        Raises:
            TransportError, UntrustedHost, AccessDenied: it cannot be reached.
            MissingRuntime, DiskFull: it cannot be used.
        """
        archive = agent_archive()

        def connect() -> AgentLink:
            transport = connect_to(target)
            try:
                agent = prepare(target.name, transport, target.python, target.workdir, archive, need)
            except BaseException:
                transport.close()
                raise
            return AgentLink(target.name, transport, agent, target.store_limit_bytes)

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
        event = self._submit("result", submission, files, _longest_s(job), on_event, errand)
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
        limit_s = pair.plan.budget_ns / 1e9 + 3 * _longest_s(pair.job)
        event = self._submit("pair", Submission(pair=pair), files, limit_s, on_event, errand)
        result = self._decoded(PairResult, event.get("result"), "result")
        check_pair(self.target.name, result, pair)
        return result

    def jobs(self) -> tuple[JobInfo, ...]:
        """The jobs that run or wait to be acknowledged, the oldest first."""
        return checked_jobs(self.target.name, self._ask("jobs", "jobs"))

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

    def call_off(self, *job_ids: str, origin: str = "") -> None:
        """End jobs and forget them: those named, and all whose origin begins with ``origin``.

        One try over the connection there is: whoever calls jobs off does not want to wait for the device.

        Raises:
            DeviceError: they could not be reached, and go on.
        """

        def work(link: AgentLink) -> None:
            found = list(job_ids)
            if origin:
                jobs = checked_jobs(link.target, link.ask("jobs", "jobs", timeout_s=_CALL_OFF_S))
                found += [job.job_id for job in jobs if job.origin.startswith(origin)]
            for at in range(0, len(found), _IDS_AT_ONCE):
                ids = found[at : at + _IDS_AT_ONCE]
                link.ask("cancelled", "cancel", *ids, timeout_s=_CALL_OFF_S + len(ids))

        self._link.once(work)

    @property
    def is_open(self) -> bool:
        """Whether the device is connected, as far as anybody has noticed."""
        return self._link.is_open

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
        if self.target.link is None:
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

    def provision(
        self, request: Provision, files: Mapping[str, Path], on_event: OnEvent = ignore
    ) -> tuple[EnvRecord, tuple[wire.RuntimeInfo, ...]]:
        """Push the wheels and make an environment of them, which holds from then on.

        Args:
            files: where each wheel is on this host, by SHA-256.
            on_event: called with ``phase`` and ``progress`` events.

        Returns:
            The environment, and what its runtimes say of themselves.

        Raises:
            MissingRuntime: pip refused, or a runtime does not work there; what held before still does.
            DiskFull, DeviceBusy: as it is.
        """
        stdin = json.dumps(wire.encode(request)).encode()

        def work(link: AgentLink, told: OnEvent) -> dict[str, Any]:
            push(link, files, told)
            return link.ask("provisioned", "provision", stdin=stdin, timeout_s=_PROVISION_S, on_event=told)

        event = self._link.during(work, on_event, is_retold=False)
        record = self._decoded(EnvRecord, event.get("record"), "record")
        return record, self._decoded(tuple[wire.RuntimeInfo, ...], event.get("runtimes"), "runtimes")

    def authorized(self, keys: Sequence[PublicKey] | None = None) -> tuple[PublicKey, ...]:
        """Whose models the device runs, after making it ``keys`` if given; everybody's without any."""
        return self._link.during(lambda link, _: exchange_keys(link, keys))

    def clean(self, *, force: bool = False) -> Cleaned:
        """Remove everything Edgewright left on the device, then close.

        Args:
            force: end the jobs that run; their results are lost.

        Raises:
            DeviceBusy: a job is running.
        """
        cleaned = self._link.during(lambda link, _: clean(self.target, link.transport, force=force))
        self.close()
        return cleaned

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
            origin=errand.origin,
            wait_s=errand.wait_s,
            is_tied=errand.is_tied,
        )
        stdin = json.dumps(wire.encode(told)).encode()
        timeout_s = limit_s + errand.wait_s + COMMAND_S

        def work(link: AgentLink, on_event: OnEvent) -> dict[str, Any]:
            return link.ask(kind, "submit", stdin=stdin, timeout_s=timeout_s, on_event=on_event)

        self._link.during(lambda link, told: push(link, files, told), on_event, is_retold=False)
        try:
            return self._link.during(work, on_event)
        except KeyboardInterrupt:
            self._interrupted(id_of(submission), on_event)
            raise

    def _interrupted(self, job_id: str, on_event: OnEvent) -> None:
        """End the job that nobody waits for any more; where that cannot be done, say so."""
        try:
            self.call_off(job_id)
        except DeviceError as error:
            on_event({"event": "phase", "name": "left", "why": str(error)[:200]})

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


def _longest_s(job: wire.Job) -> float:
    return job.limits.timeout_s + job.conditions.longest_s
