"""Reads the device's state now and then while a worker is timed, and keeps what that cost."""

import resource
import threading
import time
from array import array
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

from ..protocol import Environment, Samples, Watching
from .environment import read_environment

#: More readings than this are not kept: an hour and a bit at one a second.
MAX_READINGS = 4096
#: The share of one processor that the readings may take; dear ones are made more seldom.
MAX_SHARE = 0.01
#: A reading that has not ended for this long when the run is over will not end any more.
_JOIN_S = 10.0


#: The phase of a worker in which inferences are timed.
MEASURE = "measure"


class StateWatch:
    """Readings during the worker's phase :data:`MEASURE`, the first after half a period.

    Use it as a context manager around the worker's life.

    Args:
        period_ns: between the beginnings of two readings, at least; 0 for none at all.
        read: one reading.
        clock: nanoseconds of the monotonic clock.
        spent: processor nanoseconds that this thread and commands that have ended used so far.
        pause: waits up to so many seconds and says whether to end.
    """

    def __init__(
        self,
        period_ns: int,
        read: Callable[[], Environment] = read_environment,
        clock: Callable[[], int] = time.monotonic_ns,
        spent: Optional[Callable[[], int]] = None,
        pause: Optional[Callable[[float], bool]] = None,
    ) -> None:
        self._period_ns = period_ns
        self._read = read
        self._clock = clock
        self._spent = spent or processor_ns
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        self._thread = threading.Thread(target=self._loop, name="state-watch", daemon=True)
        self._states: List[Environment] = []
        self._t_ns, self._wall_ns, self._cpu_ns = array("q"), array("q"), array("q")
        self._reason = ""

    def on_event(self, event: Dict[str, Any]) -> None:
        """Begin with the phase, in a thread of its own, and end with the one after it."""
        if event.get("event") != "phase" or not self._period_ns:
            return
        if event.get("name") != MEASURE:
            self.stop()
        elif not self._thread.ident:
            self._thread.start()

    def stop(self) -> None:
        """End; a second call does nothing."""
        if not self._thread.ident:
            return
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
            if self._thread.is_alive():
                self._reason = f"reading the device's state has taken over {_JOIN_S:g} s and goes on"

    def __enter__(self) -> "StateWatch":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """The worker has ended."""
        self.stop()

    def result(self) -> Tuple[Tuple[Environment, ...], Watching]:
        """What was read, and at what cost, when the worker has ended."""
        count = len(self._cpu_ns)  # a reading that hangs is not among them
        watching = Watching(
            self._period_ns,
            Samples(self._t_ns[:count]),
            Samples(self._wall_ns[:count]),
            Samples(self._cpu_ns[:count]),
            self._reason,
        )
        return tuple(self._states[:count]), watching

    def _loop(self) -> None:
        due_ns = self._clock() + self._period_ns // 2
        while not self._pause(max(0, due_ns - self._clock()) / 1e9):
            if len(self._states) >= MAX_READINGS:
                self._reason = f"more than {MAX_READINGS} readings"
                return
            begin_ns, before_ns = self._clock(), self._spent()
            self._states.append(self._read())
            cpu_ns = self._spent() - before_ns
            self._t_ns.append(begin_ns)
            self._wall_ns.append(self._clock() - begin_ns)
            self._cpu_ns.append(cpu_ns)
            due_ns = max(due_ns + self._period_ns, begin_ns + int(cpu_ns / MAX_SHARE))


def processor_ns() -> int:
    """Processor time of this thread and of children that have been waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time_ns() + int((children.ru_utime + children.ru_stime) * 1e9)
