"""Reads a power sensor at a steady rate, in the parent of the process that is measured."""

import threading
import time
from array import array
from typing import Callable, Optional, Tuple

from ...protocol import MAX_SAMPLES, PowerTrace, Samples
from .sensor import PowerSensor, SensorError

#: A sensor that has not answered for this long when the run is over will not answer any more.
_JOIN_S = 10.0


class PowerSampler:
    """Samples from :meth:`start` to :meth:`stop`, with one reading at either end.

    Times are ``CLOCK_MONOTONIC`` nanoseconds, the middle of each reading, so that they compare with
    the worker's windows. A sensor that fails ends the sampling, and then there is no trace, only the reason.

    Args:
        sensor: an available sensor.
        rate_hz: readings a second; the sensor's own rate when absent, and never more than that.
        clock: nanoseconds.
        pause: waits up to so many seconds and says whether the sampling shall end.
    """

    def __init__(
        self,
        sensor: PowerSensor,
        rate_hz: Optional[float] = None,
        clock: Callable[[], int] = time.monotonic_ns,
        pause: Optional[Callable[[float], bool]] = None,
    ) -> None:
        self._sensor = sensor
        self._period_ns = int(1e9 / min(rate_hz or sensor.rate_hz, sensor.rate_hz))
        self._clock = clock
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        self._thread = threading.Thread(target=self._loop, name=f"power-{sensor.name}", daemon=True)
        self._t_ns = array("q")
        self._values = array("q")
        self._reason = ""
        self._ended = False

    def start(self) -> None:
        """Take the first reading, then sample in a thread of its own."""
        self._sample()
        if not self._reason:
            self._thread.start()

    @property
    def failure(self) -> str:
        """Why the sensor stopped answering; empty while it does."""
        return self._reason

    def stop(self) -> None:
        """Take the last reading and end the sampling. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
            if self._thread.is_alive():
                self._reason = f"{self._sensor.name}: no answer for {_JOIN_S:g} s"
                return
        if not self._values:
            self._reason = self._reason or f"{self._sensor.name} was never read"
        if not self._reason:
            self._sample()

    def result(self) -> Tuple[Optional[PowerTrace], str]:
        """The trace of a sampling that has ended, or None and the reason why there is none."""
        self.stop()
        if self._reason:
            return None, self._reason
        base = self._values[0] if self._sensor.kind == "energy" else 0
        trace = PowerTrace(
            sensor=self._sensor.name,
            scope=self._sensor.scope,
            rails=self._sensor.rails,
            rule=self._sensor.rule,
            kind=self._sensor.kind,
            t_ns=Samples(self._t_ns),
            values=Samples(value - base for value in self._values),
        )
        return trace, ""

    def _loop(self) -> None:
        due_ns = self._clock() + self._period_ns
        while not self._pause(max(0, due_ns - self._clock()) / 1e9):
            self._sample()
            if self._reason:
                return
            missed = max(0, self._clock() - due_ns) // self._period_ns
            due_ns += (1 + missed) * self._period_ns

    def _sample(self) -> None:
        if len(self._values) >= MAX_SAMPLES - 1:
            self._reason = f"{self._sensor.name}: more than {MAX_SAMPLES} readings"
            return
        before_ns = self._clock()
        try:
            value = self._sensor.read()
        except SensorError as error:
            after_s = (before_ns - self._t_ns[0]) / 1e9 if self._t_ns else 0.0
            self._reason = f"{self._sensor.name} stopped answering after {after_s:.1f} s: {error}"
            return
        self._t_ns.append((before_ns + self._clock()) // 2)
        self._values.append(value)
