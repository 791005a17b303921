"""The sampler: energy of a known curve on every board, and sensors that die."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.devices import boards

from edgewright.report.energy import EnergyFigures, energy_per_inference
from edgewright_agent.protocol import Energy, PowerTrace, Window
from edgewright_agent.sensors.power import POWER_SENSORS, PowerSampler, SensorError, choose

SECOND_NS = 1_000_000_000


def curve_mw(t: float) -> float:
    return 3500 + 1500 * math.sin(2 * math.pi * t / 3.1) + 40 * t


def integral_mj(t: float) -> float:
    """Exact energy of ``curve_mw`` from 0 to ``t`` seconds."""
    turn = 2 * math.pi / 3.1
    return 3500 * t + 1500 * (1 - math.cos(turn * t)) / turn + 20 * t * t


class Simulation:
    """A clock that moves when the sampler waits, and a board that shows the curve at that time."""

    def __init__(self, board: boards.Board, duration_s: float) -> None:
        self.board = board
        self.end_ns = int(duration_s * SECOND_NS)
        self.now_ns = 0
        self.events: dict[float, Callable[[], None]] = {}
        self.draw()

    def clock(self) -> int:
        self.now_ns += 1000
        return self.now_ns

    def pause(self, seconds: float) -> bool:
        self.now_ns += int(seconds * SECOND_NS)
        self.draw()
        for at in [at for at in self.events if at * SECOND_NS <= self.now_ns]:
            self.events.pop(at)()
        return self.now_ns >= self.end_ns

    def draw(self) -> None:
        t = self.now_ns / SECOND_NS
        self.board.draw(curve_mw(t), integral_mj(t) * 1000)


def sample(simulation: Simulation) -> tuple[PowerTrace | None, str]:
    sensor, reason = choose(tuple(POWER_SENSORS), str(simulation.board.root))
    assert sensor is not None, reason
    sampler = PowerSampler(sensor, clock=simulation.clock, pause=simulation.pause)
    sampler.start()
    return sampler.result()


@pytest.mark.parametrize("name", boards.POWERED)
def test_energy_of_a_known_curve_within_one_percent(name: str, tmp_path: Path) -> None:
    simulation = Simulation(boards.POWERED[name](tmp_path), 10.2)
    trace, reason = sample(simulation)
    assert trace is not None, reason
    window = Window("active", SECOND_NS, 10 * SECOND_NS, count=30)
    figures = energy_per_inference(Energy(trace, (window,)))
    assert isinstance(figures, EnergyFigures), figures
    exact = (integral_mj(10) - integral_mj(1)) / 30
    assert figures.gross_mj == pytest.approx(exact, rel=0.01)
    assert abs(figures.gross_mj - exact) <= figures.gross_uncertainty_mj
    assert (figures.sensor, figures.scope, figures.rails) == (trace.sensor, trace.scope, trace.rails)


def test_rapl_wraps_within_the_curve(tmp_path: Path) -> None:
    simulation = Simulation(boards.x86(tmp_path), 10.2)
    trace, _ = sample(simulation)
    assert trace is not None
    now = int((tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").read_text())
    assert now < boards.RAPL_RANGE_UJ // 2, "the counter has wrapped"
    assert trace.values[0] == 0
    assert list(trace.values) == sorted(trace.values)


def test_sensor_that_dies_leaves_a_reason_and_no_trace(tmp_path: Path) -> None:
    board = boards.orin_nano(tmp_path)
    simulation = Simulation(board, 8.0)
    file = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input"
    simulation.events[4.0] = file.unlink
    trace, reason = sample(simulation)
    assert trace is None
    assert reason.startswith("jetson-ina3221 stopped answering after 4.")
    assert "curr1_input" in reason


def test_charger_plugged_in_during_the_run_ends_it(tmp_path: Path) -> None:
    board = boards.android(tmp_path, "positive")
    simulation = Simulation(board, 8.0)
    simulation.events[3.0] = lambda: board.put("sys/class/power_supply/battery/status", "Charging")
    trace, reason = sample(simulation)
    assert trace is None
    assert "stopped answering after 3." in reason
    assert "battery Charging (unplug the charger)" in reason


def test_sensor_dead_at_the_start_is_not_sampled(tmp_path: Path) -> None:
    board = boards.ina2xx(tmp_path, "ina219")
    sensor, _ = choose(("ina2xx",), str(tmp_path))
    assert sensor is not None
    board.put("sys/class/hwmon/hwmon2/power1_input", "not a number")
    sampler = PowerSampler(sensor)
    sampler.start()
    assert "is not an integer" in sampler.failure
    assert sampler.result() == (None, sampler.failure)


def test_sampler_that_was_never_started_has_no_trace(tmp_path: Path) -> None:
    boards.ina2xx(tmp_path, "ina219")
    sensor, _ = choose(("ina2xx",), str(tmp_path))
    assert sensor is not None
    assert PowerSampler(sensor).result() == (None, "ina2xx was never read")


def test_times_are_the_worker_s_clock_and_cover_start_and_end(tmp_path: Path) -> None:
    boards.ina2xx(tmp_path, "ina219")
    sensor, _ = choose(("ina2xx",), str(tmp_path))
    assert sensor is not None
    sampler = PowerSampler(sensor)
    sampler.start()
    start_ns = time.perf_counter_ns()
    deadline = time.monotonic() + 30
    while len(sampler._t_ns) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    end_ns = time.perf_counter_ns()
    sampler.stop()
    sampler.stop()
    trace, reason = sampler.result()
    assert trace is not None, reason
    assert trace.t_ns[0] <= start_ns and trace.t_ns[-1] >= end_ns
    assert list(trace.t_ns) == sorted(set(trace.t_ns))
    assert len(trace.t_ns) == len(trace.values) >= 20
    spacing_s = (trace.t_ns[-2] - trace.t_ns[0]) / 1e9 / (len(trace.t_ns) - 2)
    assert spacing_s >= 0.99 / sensor.rate_hz, "never faster than the sensor's rate"


def test_sensor_that_hangs_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from edgewright_agent.sensors.power import sampler as module

    release = threading.Event()
    calls: list[int] = []

    class Stuck:
        name, scope, rails, rule, kind, rate_hz = "stuck", "none", ("x",), "none", "power", 100.0

        def available(self) -> str:
            return ""

        def read(self) -> int:
            calls.append(1)
            if len(calls) > 2:
                release.wait()
                raise SensorError("released")
            return 1

    monkeypatch.setattr(module, "_JOIN_S", 0.2)
    sampler = PowerSampler(Stuck())
    sampler.start()
    while len(calls) < 3:
        time.sleep(0.01)
    trace, reason = sampler.result()
    release.set()
    assert (trace, reason) == (None, "stuck: no answer for 0.2 s")


def test_slow_sensor_is_not_read_back_to_back(tmp_path: Path) -> None:
    """Readings that take longer than the period skip the moments they missed; the CPU is not theirs."""
    boards.ina2xx(tmp_path, "ina219")
    sensor, _ = choose(("ina2xx",), str(tmp_path))
    assert sensor is not None
    now = [0]
    waits: list[float] = []

    def clock() -> int:
        now[0] += 13_000_000
        return now[0]

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        now[0] += int(seconds * SECOND_NS)
        return len(waits) > 50

    sampler = PowerSampler(sensor, clock=clock, pause=pause)
    sampler.start()
    trace, _ = sampler.result()
    assert trace is not None
    gaps = [b - a for a, b in itertools.pairwise(trace.t_ns[1:-1])]
    assert min(gaps) >= 2 * SECOND_NS // 50, "every second moment is skipped"
