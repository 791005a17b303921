"""Running a job while an external meter watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewright.device import Device, Errand, OnEvent
from edgewright.device.clock import SAME_CLOCK, ClockBounds
from edgewright_agent import protocol as wire

from .alignment import align
from .host_meter import HostMeter, probe_host_meter
from .marker_search import NotAlignedError
from .meter_config import MeterConfig

#: MLPerf asks for one reading a second; half of that still gives a figure, with its uncertainty.
LEAST_RATE_HZ = 0.5

#: Durations of the energy pass in periods of the meter, and their least.
_MARKER_PERIODS, _LEAST_MARKER_NS = 2.5, 300_000_000
_IDLE_PERIODS = 14
_ACTIVE_PERIODS = 25
#: What a window may lose at its ends together, because the clock is not known better.
_MARGIN_NS = 500_000_000
_SETTLE_PERIODS, _LEAST_SETTLE_NS = 2, 1_500_000_000
#: Opening a meter may take longer the second time.
_STARTUP_FACTOR = 1.5


@dataclass(frozen=True)
class FoundMeter:
    """A configured meter and how it answered when the device was opened."""

    config: MeterConfig
    info: wire.MeterInfo

    @property
    def reason(self) -> str:
        """Why it gives no energy; empty when it may."""
        if self.info.reason:
            return self.info.reason
        if self.info.rate_hz < LEAST_RATE_HZ:
            return f"the meter gives {self.info.rate_hz:.2g} readings a second, {LEAST_RATE_HZ:g} are needed"
        return ""

    def plan(self, plan: wire.EnergyPlan) -> wire.EnergyPlan:
        """The energy pass with markers, and long enough for this meter's rate."""
        period_ns = 1e9 / self.info.rate_hz
        on_device = self.config.where == "device"
        return replace(
            plan,
            sensors=(),
            idle_ns=round(max(plan.idle_ns, _IDLE_PERIODS * period_ns + _MARGIN_NS)),
            min_duration_ns=round(max(plan.min_duration_ns, _ACTIVE_PERIODS * period_ns + _MARGIN_NS)),
            meter=self.config.meter if on_device else None,
            external=not on_device,
            marker_ns=round(max(_LEAST_MARKER_NS, _MARKER_PERIODS * period_ns)),
            settle_ns=round(
                _LEAST_SETTLE_NS + _STARTUP_FACTOR * self.info.startup_ns + _SETTLE_PERIODS * period_ns
            ),
        )


def find_meter(device: Device, config: MeterConfig) -> FoundMeter:
    """Read the meter for a moment; one that does not answer is found with its reason."""
    on_device = config.where == "device"
    return FoundMeter(
        config, device.probe_meter(config.meter) if on_device else probe_host_meter(config.meter)
    )


def run_metered(
    device: Device,
    job: wire.Job,
    files: Mapping[str, Path],
    on_event: OnEvent,
    found: FoundMeter | None,
    errand: Errand,
) -> wire.RunResult:
    """As :meth:`Device.run`, with energy from the meter where there is one.

    What keeps it from being known becomes the energy's reason; another sensor never takes the meter's place.
    """
    if found is None or job.energy is None:
        return device.run(job, files, on_event, errand)
    if found.reason:
        result = device.run(replace(job, energy=None), files, on_event, errand)
        return replace(result, energy=wire.Energy(None, (), found.reason))
    job = replace(job, energy=found.plan(job.energy))
    meter = found.config.meter
    if found.config.where == "device":
        result = device.run(job, files, on_event, errand)
        return replace(result, energy=_aligned(meter, result.energy, result.energy.recording, SAME_CLOCK))
    clock = device.clock()
    with HostMeter(meter) as recorder:

        def watch(event: Mapping[str, Any]) -> None:
            if event.get("event") == "phase" and event.get("name") == "markers":
                recorder.start()
            on_event(event)

        result = device.run(job, files, watch, errand)
        recording = recorder.stop()
    return replace(result, energy=_aligned(meter, result.energy, recording, clock.narrowed(device.clock())))


def _aligned(
    meter: wire.Meter, energy: wire.Energy, recording: wire.MeterRecording | None, clock: ClockBounds
) -> wire.Energy:
    """The trace on the device's clock; the windows alone tell of a meter that failed during the run."""
    if recording is None:
        return wire.Energy(None, energy.windows, energy.reason or "the device sent no readings of its meter")
    try:
        return wire.Energy(align(meter, recording, energy.windows, clock), energy.windows)
    except NotAlignedError as error:
        return wire.Energy(None, energy.windows if recording.reason else (), str(error))
