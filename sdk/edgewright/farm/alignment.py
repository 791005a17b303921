"""Putting an external meter's readings on the device's clock, or saying why that cannot be done.

Power rules (MLPerf: mlcommons/inference_policies, power_measurement.adoc, and its checker in
mlcommons/power-dev) ask that the clocks of meter and device agree to within 800 ms. Here that is found out
and not assumed:

markers     The device makes bursts of inferences at times it knows (Barker's code of length seven). The lag
            at which that pattern correlates best with the readings is how late they are; it covers everything
            from the meter's own averaging to buffers on the way. It is found for all pulses, and then for
            those before and after the timed window, so that a clock which drifts is seen too.
timestamps  A meter that tells Unix time is compared with the clock of the machine that reads it, at the
            moment of reading. This is what counts when no marker can be recognized.

A lag above 800 ms, an uncertainty above it, or neither method at hand: no energy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.device.clock import ClockBounds
from edgewright_agent import protocol as wire

from .marker_search import LEAST_READINGS, LIMIT_NS, Array, Lag, NotAlignedError, Readings, find_markers

_CLOCK_WAS_SET_NS = 100_000_000


def align(
    meter: wire.Meter, recording: wire.MeterRecording, windows: Sequence[wire.Window], clock: ClockBounds
) -> wire.PowerTrace:
    """The recording as a power trace on the device's clock.

    Args:
        meter: how it was read.
        recording: as received, on the clock of the machine that received it.
        windows: of the energy pass, with its markers, on the device's clock.
        clock: by how much the receiving machine's clock is ahead of the device's.

    Raises:
        NotAlignedError: it is not to be believed, or its clock is not known well enough.
    """
    base, lateness_ns = _axis(meter, recording)
    readings = _merged(base - clock.middle_ns, np.asarray(recording.values_mw, dtype=float))
    try:
        lags = find_markers(readings, windows, clock.half_ns)
    except NotAlignedError as error:
        if lateness_ns is None:
            raise
        return _by_timestamps(meter, recording, readings, lateness_ns, clock, str(error))
    return _by_markers(meter, recording, readings, lags, clock)


def _axis(meter: wire.Meter, recording: wire.MeterRecording) -> tuple[Array, float | None]:
    """When readings were taken, on the receiving machine's clock, and how late they came at least.

    The lateness is None where the meter does not tell Unix time.
    """
    if recording.reason:
        raise NotAlignedError(recording.reason)
    received = np.asarray(recording.t_ns, dtype=float)
    own = np.asarray(recording.own_ns, dtype=float)
    if not received.size == len(recording.values_mw) >= LEAST_READINGS or len(recording.wall_ns) != 2:
        raise NotAlignedError(f"{received.size} readings are too few")
    if np.any(np.diff(received) < 0):
        raise NotAlignedError("the times at which readings came are not in order")
    if not meter.format.time:
        return received, None
    if own.size != received.size or np.any(np.diff(own) < 0):
        raise NotAlignedError("the meter's own times run backwards, or some are missing")
    if meter.format.epoch != "unix":
        return own + float(np.min(received - own)), None
    begin, end = recording.wall_ns
    if abs(end - begin) > _CLOCK_WAS_SET_NS:
        raise NotAlignedError(f"the wall clock was set by {(end - begin) / 1e9:+.2f} s during the run")
    base = own - (begin + end) / 2
    lateness_ns = float(np.min(received - base))
    if abs(lateness_ns) > LIMIT_NS:
        where = "behind" if lateness_ns > 0 else "ahead of"
        raise NotAlignedError(
            f"the meter's clock is {abs(lateness_ns) / 1e9:.2f} s {where} its reader's, "
            f"more than {LIMIT_NS / 1e9:g} s"
        )
    return base, lateness_ns


def _merged(times: Array, values: Array) -> Readings:
    """One reading a moment: those that came together, or have the same time, are averaged."""
    moments, place = np.unique(np.round(times), return_inverse=True)
    if moments.size < LEAST_READINGS:
        raise NotAlignedError(
            f"{times.size} readings came at only {moments.size} moments: is the meter's output buffered?"
        )
    return Readings(moments, np.bincount(place, weights=values) / np.bincount(place))


def _by_markers(
    meter: wire.Meter,
    recording: wire.MeterRecording,
    readings: Readings,
    lags: Sequence[Lag],
    clock: ClockBounds,
) -> wire.PowerTrace:
    before, after = lags
    for lag in lags:
        if abs(lag.lag_ns) - clock.half_ns > LIMIT_NS:
            late = "late" if lag.lag_ns > 0 else "early"
            raise NotAlignedError(
                f"the meter's readings come {abs(lag.lag_ns) / 1e9:.2f} s {late} by the marker pulses, "
                f"more than {LIMIT_NS / 1e9:g} s"
            )
    drift_ns = abs(after.lag_ns - before.lag_ns)
    uncertainty_ns = max(before.uncertainty_ns, after.uncertainty_ns)
    if max(drift_ns, uncertainty_ns) > LIMIT_NS:
        raise NotAlignedError(
            f"the meter's clock drifted by {drift_ns / 1e9:.2f} s in the run and is known to "
            f"{uncertainty_ns / 1e9:.2f} s, {LIMIT_NS / 1e9:g} s are allowed"
        )
    correction = np.interp(readings.t_ns, [before.at_ns, after.at_ns], [before.lag_ns, after.lag_ns])
    found = wire.Alignment("marker pulses", round((before.lag_ns + after.lag_ns) / 2), round(uncertainty_ns))
    return _trace(meter, recording, Readings(readings.t_ns - correction, readings.mw), found)


def _by_timestamps(
    meter: wire.Meter,
    recording: wire.MeterRecording,
    readings: Readings,
    lateness_ns: float,
    clock: ClockBounds,
    no_markers: str,
) -> wire.PowerTrace:
    """What arrives late may have been under way or stamped wrongly: all of it counts as uncertainty."""
    uncertainty_ns = abs(lateness_ns) + clock.half_ns + readings.period_ns / 2
    if uncertainty_ns > LIMIT_NS:
        raise NotAlignedError(
            f"the meter's own times are known to {uncertainty_ns / 1e9:.2f} s only, "
            f"{LIMIT_NS / 1e9:g} s are allowed; {no_markers}"
        )
    found = wire.Alignment(f"the meter's timestamps; {no_markers}", round(lateness_ns), round(uncertainty_ns))
    return _trace(meter, recording, readings, found)


def _trace(
    meter: wire.Meter, recording: wire.MeterRecording, readings: Readings, alignment: wire.Alignment
) -> wire.PowerTrace:
    times = np.round(readings.t_ns).astype(np.int64)
    if np.any(np.diff(times) <= 0):
        raise NotAlignedError("the meter's clock drifts so fast that its readings change their order")
    return wire.PowerTrace(
        sensor=f"external meter ({meter.kind})",
        scope=meter.scope,
        rails=(),
        rule=rule(meter.format, recording),
        kind="power",
        t_ns=wire.Samples(int(t) for t in times),
        values=wire.Samples(int(mw) for mw in np.round(readings.mw)),
        alignment=alignment,
    )


def rule(format: wire.MeterFormat, recording: wire.MeterRecording) -> str:
    """What the meter printed and what was made of it."""
    if format.power:
        text = f"power as printed, in {format.unit}"
    elif format.voltage:
        text = f"current ({format.current_unit}) times voltage ({format.voltage_unit}), both as printed"
    else:
        text = (
            f"current as printed, in {format.current_unit}, times {format.volts:g} V, which is not measured"
        )
    if recording.garbage:
        text += f"; {recording.garbage} of {recording.lines} lines were no readings"
    return text
