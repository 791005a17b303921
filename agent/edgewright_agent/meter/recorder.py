"""Records a meter's stream: every reading with the time at which it came."""

import os
import selectors
import statistics
import threading
import time
from array import array
from typing import Callable, List, Optional

from ..protocol import Meter, MeterInfo, MeterRecording, Samples
from ..sensors.sysfs import SensorError
from .lines import MAX_LINE_BYTES, parse_line
from .streams import Stream, open_stream

#: A longer recording is refused; at a thousand readings a second it is a quarter of an hour.
MAX_READINGS = 1 << 20
MAX_S = 3600.0

#: So many lines may be no readings whatever their share: a header, a greeting, a damaged one.
_GARBAGE_LINES = 10
_GARBAGE_SHARE = 0.05
#: Readings that mostly lie below zero mean a sensor connected the wrong way round.
_NEGATIVE_SHARE = 0.01
#: A meter silent for so many of its own periods, and at least so long, has stopped.
_SILENT_PERIODS = 5
_SILENT_S = 2.0
_JOIN_S = 10.0

_PROBE_READINGS = 5
_PROBE_MORE_S = 0.5
#: Readings that come together count as one.
_LEAST_MOMENTS = 3
_PROBE_S = 12.0

OpenStream = Callable[[Meter], Stream]


class Recorder:
    """Reads from :meth:`start` to :meth:`stop`, in a thread of its own.

    Whatever is wrong with the meter becomes the recording's ``reason``; nothing is raised for it.
    """

    def __init__(self, meter: Meter, open_stream: OpenStream = open_stream) -> None:
        self._meter = meter
        self._open = open_stream
        self._stop_reader = self._stop_writer = -1
        self._thread = threading.Thread(target=self._record, name="meter", daemon=True)
        self._enough, self._ended = threading.Event(), threading.Event()
        self._t_ns, self._own_ns = array("q"), array("q")
        self._values = array("d")
        self._lines = self._garbage = 0
        self._sample_of_garbage = ""
        self._partial = b""
        self._is_first_line = False
        self._reason = ""
        self._wall_ns: List[int] = []
        self._started_ns = 0

    def start(self) -> None:
        """Open the meter and begin."""
        self._stop_reader, self._stop_writer = os.pipe()
        self._started_ns = time.monotonic_ns()
        self._wall_ns.append(_wall_ahead_ns())
        self._thread.start()

    def stop(self) -> MeterRecording:
        """End the recording and return it."""
        os.write(self._stop_writer, b"x")
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            self._reason = f"the meter's {self._meter.kind} did not end within {_JOIN_S:g} s"
        else:
            os.close(self._stop_reader)
            os.close(self._stop_writer)
        self._wall_ns.append(_wall_ahead_ns())
        return MeterRecording(
            t_ns=_samples(self._t_ns),
            own_ns=_samples(self._own_ns),
            values_mw=_samples(array("q", (round(value) for value in self._values))),
            lines=self._lines,
            garbage=self._garbage,
            wall_ns=tuple(self._wall_ns),
            reason=self._reason or self._distrust(time.monotonic_ns()),
        )

    def wait(self, timeout_s: float, more_s: float = 0.0) -> None:
        """Wait for the first few readings, ``timeout_s`` at most, and then ``more_s``; less if it ends."""
        self._enough.wait(timeout_s)
        self._ended.wait(more_s)

    @property
    def startup_ns(self) -> Optional[int]:
        """From :meth:`start` to the first reading; None before that."""
        return self._t_ns[0] - self._started_ns if self._t_ns else None

    def _record(self) -> None:
        try:
            stream = self._open(self._meter)
        except SensorError as error:
            self._reason = str(error)
            self._enough.set()
            self._ended.set()
            return
        self._is_first_line = stream.starts_midway
        try:
            self._read(stream)
        finally:
            stream.close()
            self._enough.set()
            self._ended.set()

    def _read(self, stream: Stream) -> None:
        deadline = time.monotonic() + MAX_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop_reader, selectors.EVENT_READ, "stop")
            selector.register(stream.fileno(), selectors.EVENT_READ, "lines")
            if stream.side is not None:
                selector.register(stream.side, selectors.EVENT_READ, "side")
            while not self._reason:
                ready = {key.data: key for key, _ in selector.select(max(0.0, deadline - time.monotonic()))}
                if "side" in ready and not stream.drain():
                    selector.unregister(ready["side"].fileobj)
                if "lines" in ready:
                    now_ns = time.monotonic_ns()
                    piece = stream.read()
                    if not piece:
                        after_s = (now_ns - self._started_ns) / 1e9
                        self._reason = f"the meter ended after {after_s:.1f} s: {stream.ended()}"
                        return
                    self._take(piece, now_ns)
                if "stop" in ready:
                    return
                if time.monotonic() >= deadline:
                    self._reason = f"the meter was read for more than {MAX_S:g} s"

    def _take(self, piece: bytes, now_ns: int) -> None:
        *lines, self._partial = (self._partial + piece).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if self._is_first_line:
                self._is_first_line = False  # perhaps only the end of a line: half a number is a number too
            elif line.strip():
                self._take_line(line, now_ns)
        if len(self._partial) > MAX_LINE_BYTES:
            # One byte more than a line may have: the rest of this line stays too long, whatever comes.
            self._partial = self._partial[: MAX_LINE_BYTES + 1]

    def _take_line(self, line: bytes, now_ns: int) -> None:
        self._lines += 1
        reading = parse_line(line, self._meter.format)
        if reading is None:
            self._garbage += 1
            self._sample_of_garbage = line[:60].decode("utf-8", "replace").strip()
            return
        if len(self._values) >= MAX_READINGS:
            self._reason = f"the meter gave more than {MAX_READINGS} readings"
            return
        self._t_ns.append(now_ns)
        self._values.append(reading.power_mw)
        if reading.own_ns is not None:
            self._own_ns.append(reading.own_ns)
        if len(self._values) >= _PROBE_READINGS:
            self._enough.set()

    def _distrust(self, now_ns: int) -> str:
        """Why a recording that ended as it should is not to be believed all the same."""
        count = len(self._values)
        shown = f", like {self._sample_of_garbage!r}" if self._garbage else ""
        if not count:
            return f"the meter gave no reading ({self._garbage} of {self._lines} lines were none{shown})"
        if self._garbage > max(_GARBAGE_LINES, _GARBAGE_SHARE * self._lines):
            return f"{self._garbage} of the meter's {self._lines} lines were no readings{shown}"
        negative = sum(1 for value in self._values if value < 0)
        if negative > _NEGATIVE_SHARE * count:
            return f"{negative} of {count} readings are negative: is the meter connected the wrong way round?"
        silent_s = (now_ns - self._t_ns[-1]) / 1e9
        allowed_s = max(_SILENT_S, _SILENT_PERIODS * _period_ns(self._t_ns) / 1e9)
        if silent_s > allowed_s:
            return f"the meter stopped: no reading for the last {silent_s:.1f} s"
        return ""


def probe(meter: Meter, open_stream: OpenStream = open_stream, timeout_s: float = _PROBE_S) -> MeterInfo:
    """Read the first few readings: whether it answers, how soon and how often."""
    recorder = Recorder(meter, open_stream)
    recorder.start()
    recorder.wait(timeout_s, _PROBE_MORE_S)
    startup_ns = recorder.startup_ns
    found = recorder.stop()
    count = len(found.t_ns)
    if found.reason:
        return MeterInfo(reason=found.reason)
    if count < 2 or startup_ns is None:
        return MeterInfo(reason=f"the meter gave {count} readings in {timeout_s:g} s")
    came = sorted(set(found.t_ns))
    if len(came) < _LEAST_MOMENTS or came[-1] - came[0] < _PROBE_MORE_S * 1e9 / 2:
        return MeterInfo(reason=f"the meter's {count} readings came all at once: is its output buffered?")
    moments = sorted(set(found.own_ns)) if len(set(found.own_ns)) > 1 else came
    rate_hz = (len(moments) - 1) * 1e9 / (moments[-1] - moments[0])
    return MeterInfo(rate_hz, startup_ns, statistics.fmean(found.values_mw))


def _period_ns(times: "array[int]") -> float:
    steps = [after - before for before, after in zip(times, times[1:])]
    return statistics.median(steps) if steps else 0.0


def _samples(values: "array[int]") -> Samples:
    return Samples(values)


def _wall_ahead_ns() -> int:
    """By how much the real-time clock is ahead of the monotonic one."""
    before = time.monotonic_ns()
    wall = time.time_ns()
    return wall - (before + time.monotonic_ns()) // 2
