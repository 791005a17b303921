"""Energy per inference: integrals, windows, idle baseline, uncertainty, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.report.energy import EnergyFigures, NoEnergy, energy_per_inference, energy_uj
from edgewright_agent.protocol import Energy, PowerTrace, Samples, Window

SECOND_NS = 1_000_000_000
WINDOWS = (
    Window("idle-before", 0, 2 * SECOND_NS),
    Window("active", 3 * SECOND_NS, 8 * SECOND_NS, count=100),
    Window("idle-after", 9 * SECOND_NS, 11 * SECOND_NS),
)


def trace(
    power_mw: Callable[[float], float], rate_hz: int = 50, end_s: float = 11.0, kind: str = "power"
) -> PowerTrace:
    times = [i * SECOND_NS // rate_hz for i in range(int(end_s * rate_hz) + 1)]
    if kind == "power":
        values = [round(power_mw(t / SECOND_NS)) for t in times]
    else:
        values, total = [], 0.0
        for i, t in enumerate(times):
            total += (power_mw(t / SECOND_NS) * (t - times[i - 1]) / 1e6) if i else 0.0
            values.append(round(total))
    return PowerTrace("meter", "board", ("VDD",), "as read", kind, Samples(times), Samples(values))


def step(t: float) -> float:
    return 5000.0 if 2.5 < t < 8.5 else 2000.0


def noisy_step(seed: int) -> Callable[[float], float]:
    noise = random.Random(seed)
    return lambda t: step(t) + noise.gauss(0, 400)


def figures(energy: Energy) -> EnergyFigures:
    found = energy_per_inference(energy)
    assert isinstance(found, EnergyFigures), found
    return found


def reason(energy: Energy) -> str:
    found = energy_per_inference(energy)
    assert isinstance(found, NoEnergy)
    return found.reason


@pytest.mark.parametrize("kind", ["power", "energy"])
def test_gross_and_net_of_a_step(kind: str) -> None:
    found = figures(Energy(trace(step, kind=kind), WINDOWS))
    assert found.gross_mj == pytest.approx(5000 * 5 / 100, rel=0.001)
    assert found.net_mj == pytest.approx(3000 * 5 / 100, rel=0.001)
    assert (found.active_mw, found.idle_mw) == pytest.approx((5000, 2000), rel=0.001)
    assert found.rate_hz == pytest.approx(50, rel=0.01)
    assert found.net_reason == ""


def test_window_edges_between_two_readings_are_interpolated() -> None:
    slope = trace(lambda t: 1000 * t, rate_hz=4)
    start, end = int(1.13 * SECOND_NS), int(7.91 * SECOND_NS)
    assert energy_uj(slope, start, end) == pytest.approx(1000 * (7.91**2 - 1.13**2) / 2 * 1000, rel=1e-6)


def test_uncertainty_holds_the_truth_in_nearly_all_noisy_runs() -> None:
    held = 0
    for seed in range(200):
        found = figures(Energy(trace(noisy_step(seed), rate_hz=20), WINDOWS))
        assert found.net_mj is not None and found.net_uncertainty_mj is not None
        held += abs(found.net_mj - 150) <= found.net_uncertainty_mj
    assert 175 <= held <= 200


def test_idle_that_drifts_makes_net_less_certain() -> None:
    steady = figures(Energy(trace(step), WINDOWS))
    warmer = figures(Energy(trace(lambda t: 2600.0 if t > 8.5 else step(t)), WINDOWS))
    assert steady.net_uncertainty_mj is not None and warmer.net_uncertainty_mj is not None
    assert warmer.net_mj == pytest.approx((5000 - 2300) * 5 / 100, rel=0.001)
    assert warmer.net_uncertainty_mj >= 2 * 300 * 5 / 100 > steady.net_uncertainty_mj
    assert warmer.gross_uncertainty_mj == pytest.approx(steady.gross_uncertainty_mj)


def test_no_trace_passes_the_device_s_reason_on() -> None:
    assert reason(Energy(None, (), "rapl: no permission")) == "rapl: no permission"
    assert reason(Energy(None, ())) == "the device sent no power readings"


def test_trace_without_its_window_is_no_energy() -> None:
    assert "without the timed window" in reason(Energy(trace(step), WINDOWS[:1]))
    empty = replace(WINDOWS[1], count=0)
    assert "without the timed window" in reason(Energy(trace(step), (empty,)))


def test_net_without_idle_is_none_with_its_reason() -> None:
    found = figures(Energy(trace(step), WINDOWS[:2]))
    assert (found.net_mj, found.net_uncertainty_mj, found.idle_mw) == (None, None, None)
    assert "idle-after is missing" in found.net_reason


def test_active_that_does_not_exceed_idle_has_no_net() -> None:
    found = figures(Energy(trace(lambda t: 2000.0), WINDOWS))
    assert found.net_mj is None
    assert found.idle_mw == pytest.approx(2000)
    assert "do not exceed" in found.net_reason


def test_readings_that_end_within_the_window_are_refused() -> None:
    assert "do not cover the whole window" in reason(Energy(trace(step, end_s=7.9), WINDOWS))


def test_idle_window_may_lose_its_edge_but_not_its_half() -> None:
    early = replace(WINDOWS[0], start_ns=-SECOND_NS // 10)
    assert figures(Energy(trace(step), (early, *WINDOWS[1:]))).net_mj is not None
    earlier = replace(WINDOWS[0], start_ns=-3 * SECOND_NS)
    found = figures(Energy(trace(step), (earlier, *WINDOWS[1:])))
    assert found.net_mj is None
    assert found.net_reason == "idle-before: the readings cover less than half of it"


def test_hole_in_the_readings_is_refused() -> None:
    full = trace(step)
    keep = [i for i, t in enumerate(full.t_ns) if not 5 * SECOND_NS < t < 5.7 * SECOND_NS]
    holed = replace(
        full, t_ns=Samples(full.t_ns[i] for i in keep), values=Samples(full.values[i] for i in keep)
    )
    assert "no reading for 0.70 s of the 5.00 s window" in reason(Energy(holed, WINDOWS))


def test_too_few_readings_are_refused() -> None:
    assert "6 readings in the window, 10 are needed" in reason(
        Energy(trace(step, rate_hz=1, end_s=11), WINDOWS)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "volts"}, "unknown kind"),
        ({"values": Samples([1, 2])}, "3 times for 2 readings"),
        ({"t_ns": Samples([1, 1, 2])}, "do not increase"),
        ({"kind": "energy", "values": Samples([5, 4, 6])}, "went backwards"),
        ({"t_ns": Samples([1]), "values": Samples([1])}, "too few"),
    ],
)
def test_trace_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    sound = PowerTrace("meter", "board", (), "", "power", Samples([1, 2, 3]), Samples([1, 2, 3]))
    assert message in reason(Energy(replace(sound, **change), WINDOWS))  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 60_000)), min_size=2, max_size=60),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_energy_of_parts_adds_up(readings: list[tuple[int, int]], a: float, b: float, c: float) -> None:
    times = [sum(gap for gap, _ in readings[: i + 1]) for i in range(len(readings))]
    power = PowerTrace("m", "b", (), "", "power", Samples(times), Samples(mw for _, mw in readings))
    first, middle, last = sorted(times[0] + int(x * (times[-1] - times[0])) for x in (a, b, c))
    whole = energy_uj(power, first, last)
    assert energy_uj(power, first, middle) + energy_uj(power, middle, last) == pytest.approx(whole, abs=1e-3)
    most = max(mw for _, mw in readings) * (last - first) / 1e6
    assert -1e-3 <= whole <= most + 1e-3


@given(
    st.lists(st.integers(-(10**9), 10**9), max_size=30),
    st.lists(st.integers(-(10**12), 10**12), max_size=30),
    st.sampled_from(["power", "energy", ""]),
    st.lists(
        st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.integers(-1, 9)), max_size=3
    ),
)
def test_whatever_a_device_sends_ends_in_figures_or_a_reason(
    times: list[int], values: list[int], kind: str, spans: list[tuple[int, int, int]]
) -> None:
    names = ("active", "idle-before", "idle-after")
    windows = tuple(Window(name, *span) for name, span in zip(names, spans, strict=False))
    for stamps in (times, sorted(set(times))):
        sent = PowerTrace("m", "b", (), "", kind, Samples(stamps), Samples(values[: len(stamps)]))
        found = energy_per_inference(Energy(sent, windows))
        assert isinstance(found, EnergyFigures) or found.reason
