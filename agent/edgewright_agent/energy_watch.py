"""Whatever samples power during a job: one of the device's sensors, a meter it reads, or somebody outside."""

from types import TracebackType
from typing import Any, Callable, Dict, Optional, Tuple, Type

from .meter.recorder import Recorder
from .protocol import Energy, EnergyPlan, Window
from .sensors.power import choose
from .sensors.power.sampler import PowerSampler

#: Sampling begins with the first of these phases that comes.
_FIRST = ("markers", "idle-before")
_LAST = "energy-done"


class EnergyWatch:
    """Forwards the worker's events and samples during the phases of the energy pass.

    Use it as a context manager around the worker's life, so that no meter's command outlives it.
    """

    def __init__(self, plan: Optional[EnergyPlan], emit: Callable[[Dict[str, Any]], None]) -> None:
        self._emit = emit
        self._reason = ""
        self._is_external = plan is not None and plan.external
        self._sampler: Optional[PowerSampler] = None
        self._recorder: Optional[Recorder] = None
        self._is_running = False
        if plan is None:
            self._reason = "energy was not asked for"
        elif plan.external:
            self._reason = "the meter is not read on the device"
        elif plan.meter is not None:
            self._recorder = Recorder(plan.meter)
        else:
            sensor, self._reason = choose(plan.sensors)
            self._sampler = PowerSampler(sensor) if sensor else None

    @property
    def is_wanted(self) -> bool:
        """Whether the worker shall make the energy pass."""
        return self._is_external or self._sampler is not None or self._recorder is not None

    def on_event(self, event: Dict[str, Any]) -> None:
        """Take one event of the worker's."""
        name = event.get("name") if event.get("event") == "phase" else None
        if name in _FIRST and not self._is_running:
            self._is_running = True
            if self._sampler:
                self._sampler.start()
            if self._recorder:
                self._recorder.start()
        if name == _LAST and self._sampler:
            self._sampler.stop()
        self._emit(event)

    def energy(self, windows: Tuple[Window, ...]) -> Energy:
        """What was sampled in the pass with these windows, or why nothing was."""
        if self._sampler is not None:
            trace, reason = self._sampler.result()
            return Energy(trace, windows, reason)
        if self._recorder is None:
            return Energy(None, windows, self._reason)
        if not self._is_running:
            return Energy(None, windows, "the worker ended before its energy pass")
        self._is_running = False
        recording = self._recorder.stop()
        return Energy(None, windows, recording.reason or "the meter's clock was not compared", recording)

    def __enter__(self) -> "EnergyWatch":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """End what still runs."""
        if self._is_running and self._recorder:
            self._recorder.stop()
            self._is_running = False
        elif self._sampler and self._is_running:
            self._sampler.stop()
