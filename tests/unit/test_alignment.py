"""An external meter's readings on the device's clock: found within 800 ms, or no energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.device.clock import SAME_CLOCK, ClockBounds
from edgewright.farm.alignment import align
from edgewright.farm.marker_search import NotAlignedError
from edgewright.farm.meter_config import MeterConfig
from edgewright.farm.metered import FoundMeter
from edgewright.report.energy import EnergyFigures, NoEnergy, energy_per_inference
from edgewright_agent.energy_pass import BARKER_7
from edgewright_agent.protocol import (
    Energy,
    EnergyPlan,
    Meter,
    MeterFormat,
    MeterInfo,
    MeterRecording,
    PowerTrace,
    Samples,
    Window,
)

S = 1_000_000_000
METER = Meter("tcp", "5 V supply", MeterFormat(power="1"))
STAMPED = Meter("tcp", "5 V supply", MeterFormat(power="2", time="1"))
COUNTING = Meter("tcp", "5 V supply", MeterFormat(power="2", time="1", epoch="own"))
IDLE_MW, BUSY_MW, COUNT = 2000.0, 5000.0, 100
Floats = NDArray[np.floating[Any]]
WALL_NS = 1_700_000_000 * S


def windows_for(rate_hz: float, start_ns: int = 100 * S) -> tuple[Window, ...]:
    """The energy pass that is planned for a meter of this rate, as a device makes it."""
    plan = FoundMeter(MeterConfig("host", METER), MeterInfo(rate_hz, S // 10, 3000.0)).plan(
        EnergyPlan((), S, 2 * S)
    )
    made: list[Window] = []
    now = start_ns

    def add(name: str, length_ns: int, count: int = 0) -> None:
        nonlocal now
        made.append(Window(name, now, now + length_ns, count))
        now += length_ns

    def markers(name: str) -> None:
        nonlocal now
        for position, units in enumerate(BARKER_7):
            if position % 2 == 0:
                add(name, units * plan.marker_ns, 1)
            else:
                now += units * plan.marker_ns

    add("settle-before", plan.settle_ns)
    markers("marker-before")
    add("idle-before", plan.idle_ns)
    add("active", plan.min_duration_ns, COUNT)
    add("idle-after", plan.idle_ns)
    markers("marker-after")
    add("settle-after", plan.settle_ns)
    return tuple(made)


def power_mw(windows: Sequence[Window], t_ns: Floats) -> Floats:
    """The device's true power: busy in the pulses, in the window, and before the pass."""
    power = np.where(t_ns < windows[0].start_ns, BUSY_MW, IDLE_MW)
    for window in windows:
        if window.count:
            power[(t_ns >= window.start_ns) & (t_ns < window.end_ns)] = BUSY_MW
    return power


@dataclass(frozen=True)
class Simulated:
    """A meter that averages over its period, and how its readings come to whoever reads it."""

    rate_hz: float = 10
    late_s: float = 0.0
    drift: float = 0.0
    jitter_s: float = 0.0
    noise_mw: float = 0.0
    lost: float = 0.0
    swing: float = 1.0
    averages: bool = True

    def record(self, windows: Sequence[Window], ahead_ns: int = 0, seed: int = 0) -> MeterRecording:
        """What a reader whose clock is ``ahead_ns`` before the device's would have recorded."""
        chance = np.random.default_rng(seed)
        period = S / self.rate_hz
        begin, end = windows[0].start_ns - S / 2, windows[-1].end_ns + S
        taken: Floats = np.arange(begin + chance.random() * period, end, period)
        taken = taken[chance.random(taken.size) >= self.lost]
        parts = 40 if self.averages else 1
        true = np.mean([power_mw(windows, taken - period * k / parts) for k in range(parts)], axis=0)
        seen = IDLE_MW + (true - IDLE_MW) * self.swing + chance.normal(0, self.noise_mw or 1e-9, taken.size)
        came: Floats = taken + self.late_s * S + (taken - begin) * self.drift
        came = np.sort(came + chance.exponential(self.jitter_s * S or 1e-9, taken.size)) + float(ahead_ns)
        none = Samples()
        values = Samples(int(v) for v in np.round(seen))
        return MeterRecording(Samples(int(t) for t in came), none, values, taken.size, 0, (WALL_NS, WALL_NS))

    def stamped(
        self, windows: Sequence[Window], skew_s: float, ahead_ns: int = 0, wall_ns: int = WALL_NS
    ) -> MeterRecording:
        """As :meth:`record`, each reading with the meter's own time, ``skew_s`` before the true one."""
        found = self.record(windows, ahead_ns)
        own = Samples(int(t - self.late_s * S - skew_s * S) + wall_ns for t in found.t_ns)
        return replace(found, own_ns=own)


def energy(trace: PowerTrace, windows: Sequence[Window]) -> EnergyFigures:
    found = energy_per_inference(Energy(trace, tuple(windows)))
    assert isinstance(found, EnergyFigures), found
    return found


def truth_mj(windows: Sequence[Window], above_mw: float = 0.0) -> float:
    active = next(window for window in windows if window.name == "active")
    return (BUSY_MW - above_mw) * (active.end_ns - active.start_ns) / S / COUNT


@pytest.mark.parametrize("rate_hz", [1, 2, 10, 50, 400])
@pytest.mark.parametrize("meter", [Simulated(), Simulated(averages=False)], ids=["averaging", "momentary"])
def test_energy_of_a_known_curve_within_one_percent(rate_hz: int, meter: Simulated) -> None:
    windows = windows_for(rate_hz)
    for seed in range(3):
        trace = align(METER, replace(meter, rate_hz=rate_hz).record(windows, seed=seed), windows, SAME_CLOCK)
        found = energy(trace, windows)
        assert found.gross_mj == pytest.approx(truth_mj(windows), rel=0.01)
        assert found.net_mj == pytest.approx(truth_mj(windows, IDLE_MW), rel=0.02)
        assert found.alignment == trace.alignment is not None


@pytest.mark.parametrize("late_s", [-0.5, -0.1, 0.0, 0.25, 0.7])
def test_the_lag_is_found_and_undone(late_s: float) -> None:
    windows = windows_for(20)
    meter = Simulated(rate_hz=20, late_s=late_s, noise_mw=200)
    trace = align(METER, meter.record(windows), windows, SAME_CLOCK)
    assert trace.alignment is not None and trace.alignment.method == "marker pulses"
    assert abs(trace.alignment.offset_ns - late_s * S) <= trace.alignment.uncertainty_ns <= 60_000_000
    assert energy(trace, windows).gross_mj == pytest.approx(truth_mj(windows), rel=0.03)


@pytest.mark.parametrize("late_s", [-2.0, 2.0, 0.95])
def test_more_than_800_ms_is_refused_with_how_much_it_is(late_s: float) -> None:
    windows = windows_for(20)
    with pytest.raises(NotAlignedError, match=rf"{abs(late_s):.1f}\d s (late|early).*more than 0.8 s"):
        align(METER, Simulated(rate_hz=20, late_s=late_s).record(windows), windows, SAME_CLOCK)


def test_the_host_s_clock_is_taken_off_as_far_as_it_is_known() -> None:
    windows = windows_for(20)
    ahead_ns = 123_456 * S
    recording = Simulated(rate_hz=20, late_s=0.1).record(windows, ahead_ns)
    for clock in (
        ClockBounds(ahead_ns, ahead_ns),
        ClockBounds(ahead_ns - S // 5, ahead_ns + S // 100),
        ClockBounds(ahead_ns - 3 * S, ahead_ns),
    ):
        trace = align(METER, recording, windows, clock)
        assert trace.alignment is not None and trace.alignment.uncertainty_ns < 60_000_000
        assert energy(trace, windows).gross_mj == pytest.approx(truth_mj(windows), rel=0.01)
    with pytest.raises(NotAlignedError):
        align(METER, recording, windows, SAME_CLOCK)


def test_a_clock_that_drifts_is_followed_until_it_has_drifted_too_far() -> None:
    windows = windows_for(20)
    trace = align(METER, Simulated(rate_hz=20, drift=0.01).record(windows), windows, SAME_CLOCK)
    assert energy(trace, windows).gross_mj == pytest.approx(truth_mj(windows), rel=0.01)
    with pytest.raises(
        NotAlignedError, match=r"(late|early) by the marker pulses|drifted by|not to be recognized"
    ):
        align(METER, Simulated(rate_hz=20, drift=0.12, late_s=-0.7).record(windows), windows, SAME_CLOCK)


def test_jitter_and_lost_lines_cost_certainty_not_truth() -> None:
    windows = windows_for(20)
    meter = Simulated(rate_hz=20, jitter_s=0.03, lost=0.2, noise_mw=100)
    trace = align(METER, meter.record(windows), windows, SAME_CLOCK)
    assert energy(trace, windows).gross_mj == pytest.approx(truth_mj(windows), rel=0.02)


def test_readings_that_do_not_follow_the_load_are_another_device_s() -> None:
    windows = windows_for(20)
    for seed in range(10):
        recording = Simulated(rate_hz=20, swing=0.0, noise_mw=300).record(windows, seed=seed)
        with pytest.raises(NotAlignedError, match="not to be recognized"):
            align(METER, recording, windows, SAME_CLOCK)


def test_a_window_in_which_work_comes_and_goes_does_not_hide_the_markers() -> None:
    windows = windows_for(20)
    active = next(window for window in windows if window.name == "active")
    recording = Simulated(rate_hz=20, late_s=0.1).record(windows)
    sparse = Samples(
        int(IDLE_MW) if active.start_ns + S // 10 <= t < active.end_ns + S // 10 and i % 10 else mw
        for i, (t, mw) in enumerate(zip(recording.t_ns, recording.values_mw, strict=True))
    )
    trace = align(METER, replace(recording, values_mw=sparse), windows, SAME_CLOCK)
    assert trace.alignment is not None and trace.alignment.offset_ns == pytest.approx(0.1 * S, abs=6e7)


def test_a_load_that_comes_and_goes_regularly_is_not_taken_for_the_markers() -> None:
    windows = windows_for(20)
    recording = Simulated(rate_hz=20).record(windows)
    beat = Samples(int(IDLE_MW + 3000 * ((t // (S // 2)) % 2)) for t in recording.t_ns)
    with pytest.raises(NotAlignedError, match=r"not to be recognized|more than one place"):
        align(METER, replace(recording, values_mw=beat), windows, SAME_CLOCK)


def test_without_markers_after_the_window_nothing_is_known_of_drift() -> None:
    windows = windows_for(20)
    recording = Simulated(rate_hz=20).record(windows)
    cut = next(window.start_ns for window in windows if window.name == "marker-after")
    kept = [i for i, t in enumerate(recording.t_ns) if t < cut]
    short = replace(
        recording,
        t_ns=Samples(recording.t_ns[i] for i in kept),
        values_mw=Samples(recording.values_mw[i] for i in kept),
    )
    with pytest.raises(NotAlignedError, match=r"marker pulses.* not to be recognized"):
        align(METER, short, windows, SAME_CLOCK)
    with pytest.raises(NotAlignedError, match="made no marker pulses before"):
        align(METER, recording, windows[-1:], SAME_CLOCK)


def test_readings_that_come_in_bursts_are_no_trace() -> None:
    windows = windows_for(20)
    recording = Simulated(rate_hz=20).record(windows)
    bursts = Samples(t // (8 * S) * 8 * S for t in recording.t_ns)
    with pytest.raises(NotAlignedError, match=r"came at only .* buffered"):
        align(METER, replace(recording, t_ns=bursts), windows, SAME_CLOCK)


def test_two_lines_at_a_time_are_one_reading() -> None:
    windows = windows_for(20)
    recording = Simulated(rate_hz=40).record(windows)
    paired = Samples(
        recording.t_ns[i | 1] if i | 1 < len(recording.t_ns) else t for i, t in enumerate(recording.t_ns)
    )
    trace = align(METER, replace(recording, t_ns=paired), windows, SAME_CLOCK)
    assert len(trace.t_ns) == pytest.approx(len(recording.t_ns) / 2, abs=1)
    assert energy(trace, windows).gross_mj == pytest.approx(truth_mj(windows), rel=0.01)


def test_its_own_times_are_truer_than_those_of_arrival() -> None:
    windows = windows_for(20)
    meter = Simulated(rate_hz=20, late_s=0.3)
    trace = align(STAMPED, meter.stamped(windows, skew_s=0.0), windows, SAME_CLOCK)
    assert trace.alignment is not None and abs(trace.alignment.offset_ns) < 60_000_000
    counting = align(COUNTING, meter.stamped(windows, 0.0, wall_ns=-50 * S), windows, SAME_CLOCK)
    assert counting.alignment is not None and counting.alignment.offset_ns == pytest.approx(0.3 * S, abs=6e7)
    for found in (trace, counting):
        assert energy(found, windows).gross_mj == pytest.approx(truth_mj(windows), rel=0.01)


@pytest.mark.parametrize(("skew_s", "where"), [(2.0, "behind"), (-2.0, "ahead of")])
def test_a_meter_whose_clock_is_two_seconds_off_is_refused(skew_s: float, where: str) -> None:
    windows = windows_for(20)
    with pytest.raises(NotAlignedError, match=rf"clock is 2.00 s {where} its reader's, more than 0.8 s"):
        align(STAMPED, Simulated(rate_hz=20).stamped(windows, skew_s), windows, SAME_CLOCK)


def test_timestamps_count_where_no_marker_is_recognized_with_all_that_is_uncertain() -> None:
    windows = windows_for(20)
    flat = Simulated(rate_hz=20, swing=0.0, late_s=0.2)
    clock = ClockBounds(-50_000_000, 50_000_000)
    trace = align(STAMPED, flat.stamped(windows, skew_s=0.0), windows, clock)
    assert (
        trace.alignment is not None
        and "timestamps; the pattern of the marker pulses is not" in trace.alignment.method
    )
    assert trace.alignment.uncertainty_ns == pytest.approx((0.2 + 0.05 + 0.025) * S, rel=0.05)
    with pytest.raises(NotAlignedError, match=r"known to 0.9\d s only"):
        align(STAMPED, flat.stamped(windows, skew_s=0.0), windows, ClockBounds(-7 * S // 10, 7 * S // 10))
    with pytest.raises(NotAlignedError, match="not to be recognized"):
        align(COUNTING, flat.stamped(windows, skew_s=0.0), windows, SAME_CLOCK)


def test_a_wall_clock_that_was_set_meanwhile_is_no_reference() -> None:
    windows = windows_for(20)
    recording = replace(Simulated(rate_hz=20).stamped(windows, 0.0), wall_ns=(WALL_NS, WALL_NS + 3 * S))
    with pytest.raises(NotAlignedError, match=r"set by \+3.00 s"):
        align(STAMPED, recording, windows, SAME_CLOCK)


def test_what_does_not_fit_together_is_refused() -> None:
    windows = windows_for(20)
    good = Simulated(rate_hz=20).record(windows)
    for wrong, reason in (
        (replace(good, reason="the meter ended after 3.2 s"), "ended after 3.2 s"),
        (replace(good, values_mw=Samples()), "too few"),
        (replace(good, t_ns=Samples(reversed(good.t_ns))), "not in order"),
        (replace(good, t_ns=Samples(good.t_ns[:5]), values_mw=Samples(good.values_mw[:5])), "too few"),
    ):
        with pytest.raises(NotAlignedError, match=reason):
            align(METER, wrong, windows, SAME_CLOCK)
    with pytest.raises(NotAlignedError, match="backwards, or some are missing"):
        align(STAMPED, good, windows, SAME_CLOCK)


def test_a_clock_known_too_little_for_its_window_gives_no_energy() -> None:
    windows = windows_for(20)
    trace = align(METER, Simulated(rate_hz=20).record(windows), windows, SAME_CLOCK)
    assert trace.alignment is not None
    vague = replace(trace, alignment=replace(trace.alignment, uncertainty_ns=6 * S // 10))
    found = energy_per_inference(Energy(vague, windows))
    assert (
        isinstance(found, NoEnergy)
        and "known within 0.60 s, too little for a window of 2.00 s" in found.reason
    )


def test_the_rule_says_what_was_multiplied_and_how_much_was_thrown_away() -> None:
    windows = windows_for(20)
    recording = replace(Simulated(rate_hz=20).record(windows), lines=400, garbage=3)
    amps = replace(METER, format=MeterFormat(current="1", volts=5.0))
    assert align(amps, recording, windows, SAME_CLOCK).rule == (
        "current as printed, in A, times 5 V, which is not measured; 3 of 400 lines were no readings"
    )
    trace = align(METER, recording, windows, SAME_CLOCK)
    assert (trace.sensor, trace.scope, trace.kind) == ("external meter (tcp)", "5 V supply", "power")


def test_clock_bounds() -> None:
    first = ClockBounds.of(asked_ns=1000, told_ns=400, answered_ns=1100)
    assert (first.low_ns, first.high_ns, first.middle_ns, first.half_ns) == (600, 700, 650, 50)
    assert first.narrowed(ClockBounds(650, 900)) == ClockBounds(650, 700)
    assert first.narrowed(ClockBounds(800, 900)) == ClockBounds(600, 900)


def test_a_slow_meter_gets_a_longer_pass_and_one_too_slow_none() -> None:
    config = MeterConfig("host", METER)
    fast = FoundMeter(config, MeterInfo(100, 10**7, 1.0)).plan(EnergyPlan(("rapl",), S, 2 * S))
    assert (fast.idle_ns, fast.min_duration_ns, fast.marker_ns) == (S, 2 * S, 3 * S // 10)
    assert (fast.sensors, fast.external, fast.meter) == ((), True, None)
    slow = FoundMeter(replace(config, where="device"), MeterInfo(1, 10**7, 1.0)).plan(
        EnergyPlan((), S, 2 * S)
    )
    half = S // 2
    assert (slow.idle_ns, slow.min_duration_ns, slow.marker_ns) == (14 * S + half, 25 * S + half, 5 * half)
    assert (slow.external, slow.meter) == (False, METER)
    assert "0.2 readings a second, 0.5 are needed" in FoundMeter(config, MeterInfo(0.2, 1, 1.0)).reason
    assert FoundMeter(config, MeterInfo(reason="no answer")).reason == "no answer"
