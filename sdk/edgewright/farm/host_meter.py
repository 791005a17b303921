"""A meter that this host reads: by the agent's own code, in a process of its own.

The device's meter and the host's are read by the same program, and whatever a meter does to its reader it
does to that process. Times are of the host's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from edgewright.agent_archive import agent_archive
from edgewright.device.answers import last_event
from edgewright.errors import DeviceError, ProtocolMismatch
from edgewright_agent import protocol as wire

#: Where a message about it is said to come from.
NAME = "meter"
_PROBE_S = 60.0
_END_S = 30.0


def probe_host_meter(meter: wire.Meter) -> wire.MeterInfo:
    """Whether a meter of this host answers, and how often; why not, in the reason."""
    process = _start("probe", meter)
    try:
        event = last_event(NAME, _Output(process, _PROBE_S), "meter")
        return wire.decode(wire.MeterInfo, event.get("meter"), "meter")
    except (DeviceError, wire.WireError) as error:
        return wire.MeterInfo(reason=str(error))


class HostMeter:
    """Records from :meth:`start` to :meth:`stop`. Use it as a context manager."""

    def __init__(self, meter: wire.Meter) -> None:
        self._meter = meter
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Open the meter; a second call does nothing."""
        if self._process is None:
            self._process = _start("record", self._meter)

    def stop(self) -> wire.MeterRecording:
        """End the recording. Whatever is wrong with it is its reason."""
        process, self._process = self._process, None
        if process is None:
            return _nothing("the meter was not read: the device did not come to its energy pass")
        try:
            event = last_event(NAME, _Output(process, _END_S), "recording")
            return wire.decode(wire.MeterRecording, event.get("recording"), "recording")
        except (DeviceError, wire.WireError) as error:
            return _nothing(str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End a recording that nobody asked for any more."""
        if self._process is not None:
            self.stop()


def _start(what: str, meter: wire.Meter) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(agent_archive().path), "--root", tempfile.gettempdir(), "meter", what]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # an interrupt is for the host, which then ends the recording in good order
    )
    assert process.stdin
    with suppress(BrokenPipeError):  # it has ended already, and its output says why
        process.stdin.write(json.dumps(wire.encode(meter)).encode() + b"\n")
        process.stdin.flush()
    return process


def _nothing(reason: str) -> wire.MeterRecording:
    none = wire.Samples()
    return wire.MeterRecording(none, none, none, 0, 0, (), reason)


class _Output:
    """All that the agent printed, read when its standard input has ended: a transport's Process."""

    def __init__(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        self._process = process
        try:
            self._said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise ProtocolMismatch(
                NAME, f"the meter's reader gave no answer within {timeout_s:g} s"
            ) from None

    def lines(self) -> Iterator[str]:
        """Its lines."""
        return iter(self._said.decode("utf-8", "replace").splitlines())

    def finish(self) -> tuple[int, str]:
        """How it ended."""
        return self._process.returncode, ""

    def close(self) -> None:
        """It has ended."""
