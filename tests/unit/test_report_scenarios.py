"""What the scenarios showed: exact figures from samples whose truth is known."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import environment, launch, measured, row, stored

from edgewright.report import render, report_document
from edgewright.report.scenarios import proportion
from edgewright.report.scenarios.levels import stretches
from edgewright.report.scenarios.multi_stream import jain
from edgewright.report.scenarios.paced import Arrivals
from edgewright.report.verdict import Verdict, verdict
from edgewright_agent.protocol import (
    BatchRun,
    Environment,
    Pace,
    PacedRun,
    RunResult,
    Samples,
    ScenarioRun,
    Starts,
    StreamRun,
    SustainedRun,
    Watching,
    decode,
    encode,
)

MS = 1_000_000
SECOND = 1_000_000_000
PACE = Pace(10 * MS, 10 * MS)


def serve(pace: Pace, service_ns: Sequence[int], wake_ns: Sequence[int] | int = 0) -> Starts:
    """Gaps of a run in which arrivals are served first come, first served, each woken so much too late."""
    gaps, previous = [], 0
    for i, took in enumerate(service_ns):
        late = wake_ns if isinstance(wake_ns, int) else wake_ns[i]
        due = i * pace.period_ns
        start = previous if previous > due else due + late
        gaps.append(start - previous)
        previous = start + took
    return Starts(100 * SECOND, Samples(gaps))


def paced_launch(service_ns: Sequence[int], *, wake_ns: Sequence[int] | int = 0) -> RunResult:
    before = Samples([2 * MS] * 200)
    run = PacedRun(PACE, serve(PACE, service_ns, wake_ns), before, before)
    made = launch(service_ns, duration_ns=11 * SECOND)
    return replace(made, scenario=ScenarioRun("paced", paced=run))


def show(kind: str, *launches: RunResult, preset: str = "quick") -> tuple[Any, Verdict]:
    """The scenario part of the document as JSON, and the row's verdict."""
    one = replace(row(measured(*launches), preset=preset), scenario=kind)
    data = json.loads(render(report_document(stored(one)), "json"))["rows"][0]["scenario"]
    judged = verdict(one)
    assert judged
    return data, judged


# --- paced -----------------------------------------------------------------------------------------


def test_waiting_waking_serving_and_responding_are_told_apart() -> None:
    service = [3 * MS, 24 * MS, 3 * MS, 3 * MS, 3 * MS]
    starts = serve(PACE, service, wake_ns=[MS, MS, 0, 0, 0])
    found = Arrivals.of(PACE, starts, Samples(service))
    # due 0 10 20 30 40; served 1-4, 11-35, 35-38, 38-41, 41-44
    assert list(found.queueing) == [0, 0, 15 * MS, 8 * MS, MS]
    assert list(found.wakeup) == [MS, MS, -1, -1, -1]
    assert list(found.response) == [4 * MS, 25 * MS, 18 * MS, 11 * MS, 4 * MS]


def test_misses_are_counted_and_bounded() -> None:
    service = [3 * MS] * 1000
    for place in range(0, 1000, 50):
        service[place] = 12 * MS
    data, judged = show("paced", paced_launch(service))
    figures = data["paced"]
    assert (figures["rate_hz"], figures["deadline_ms"]) == (100.0, 10.0)
    assert (figures["misses"], figures["arrivals"], figures["miss_rate"]) == (20, 1000, 0.02)
    assert figures["miss_rate_low"] == pytest.approx(0.01226, abs=1e-4)  # Clopper and Pearson's, from tables
    assert figures["miss_rate_high"] == pytest.approx(0.03070, abs=1e-4)
    assert figures["keeps_up"] and figures["utilization"] == pytest.approx(0.318)
    assert figures["response_ms"]["p50"] == 3.0 and figures["queueing_ms"]["max"] == 2.0
    assert judged.status == "valid"
    assert any("20 of 1,000 deadlines at 100 Hz were missed" in sentence for sentence in judged.evidence)


def test_misses_due_to_waking_late_are_told_apart_even_for_those_behind() -> None:
    late = [0] * 1000
    late[100] = 19 * MS
    data, _ = show("paced", paced_launch([3 * MS] * 1000, wake_ns=late))
    # due 1000 served at 1019-1022, the next due 1010 at 1022-1025: both late, neither for the model's sake
    assert (data["paced"]["misses"], data["paced"]["misses_by_wakeup"]) == (2, 2)
    assert data["paced"]["wakeup_ms"]["max"] == 19.0


def test_what_idling_costs_is_the_ratio_to_back_to_back() -> None:
    data, _ = show("paced", *(paced_launch([3 * MS] * 500) for _ in range(3)))
    gap = data["paced"]["idle_gap"]
    assert (gap["value"], gap["low"], gap["high"]) == (1.5, 1.5, 1.5)
    assert gap["method"] == "bootstrap over 3 launches and their samples"
    assert data["paced"]["back_to_back_ms"] == 2.0


def test_a_model_that_cannot_keep_up_has_no_response_time() -> None:
    made = paced_launch([12 * MS] * 200)
    assert made.scenario and made.scenario.paced
    cut = replace(made, scenario=ScenarioRun("paced", paced=replace(made.scenario.paced, ended="queue")))
    for one, words in ((made, "it would be busy 120%"), (cut, "the model cannot keep up")):
        data, judged = show(
            "paced", replace(one, timing=one.timing and replace(one.timing, duration_ns=SECOND))
        )
        figures = data["paced"]
        assert not figures["keeps_up"] and figures["response_ms"] is None and figures["queueing_ms"] is None
        assert "grows without bound" in figures["response_reason"]
        assert figures["idle_gap"] is None and figures["idle_gap_reason"] == "the model never idled"
        assert data["headline"].startswith("cannot keep up with 100 Hz: an inference takes 12.0 ms")
        assert any(words in sentence for sentence in judged.evidence)
    assert judged.status == "valid"  # cut short, but for a reason that more of the same would not change


def test_a_row_that_cannot_keep_up_is_not_shipped() -> None:
    one = replace(row(measured(paced_launch([12 * MS] * 1200))), scenario="paced")
    (headline,) = report_document(stored(one)).headlines
    assert headline.recipe is None
    assert headline.sentence == "No setting of digits on pi5 keeps up with the rate asked for."


def test_misses_that_come_together_are_said_to() -> None:
    bad = [3 * MS] * 400 + [14 * MS] * 40 + [3 * MS] * 400
    data, _ = show("paced", paced_launch([3 * MS] * 840), paced_launch(bad))
    assert any("misses come together" in remark for remark in data["remarks"])


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 100, 0.0, 0.036217), (5, 100, 0.016432, 0.112835), (100, 100, 0.963783, 1.0), (1, 1, 0.025, 1.0)],
)
def test_the_interval_of_a_proportion_is_the_exact_one(
    hits: int, count: int, low: float, high: float
) -> None:
    assert proportion.interval(hits, count) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 400), st.integers(0, 400))
def test_the_interval_of_a_proportion_covers_what_was_seen(count: int, hits: int) -> None:
    hits = min(hits, count)
    low, high = proportion.interval(hits, count)
    assert 0.0 <= low <= hits / count <= high <= 1.0
    tail = sum(math.comb(count, k) * high**k * (1 - high) ** (count - k) for k in range(hits + 1))
    assert hits == count or tail == pytest.approx(0.025, rel=1e-6)


def test_the_interval_is_quick_for_a_million() -> None:
    low, high = proportion.interval(500_000, 1_000_000)
    assert (low, high) == pytest.approx((0.49902, 0.50098), abs=1e-5)


# --- sustained -------------------------------------------------------------------------------------


def watched(seconds: float, **change: Any) -> list[Environment]:
    """One reading a second at 100 s of the clock on; ``change`` maps a field to ``(from second, value)``."""
    states = []
    for second in range(round(seconds)):
        fields = {name: value for name, (since, value) in change.items() if second >= since}
        states.append(environment(100.5 + second, **fields))
    return [environment(99.0), *states, environment(100 + seconds + 1)]


def sustained_launch(
    latency_ns: Sequence[int], states: Sequence[Environment], *, asked_s: float | None = None
) -> RunResult:
    total_s = sum(latency_ns) / 1e9
    made = launch(latency_ns, duration_ns=sum(latency_ns), states=states)
    run = SustainedRun(
        round((asked_s or total_s) * 1e9), Starts(100 * SECOND, Samples([0] * len(latency_ns)))
    )
    return replace(made, scenario=ScenarioRun("sustained", sustained=run))


def levels(*parts: tuple[float, float], noise: float = 0.01, seed: int = 1) -> list[int]:
    """Back-to-back latencies: so many seconds at so many milliseconds, one part after the other."""
    rng = np.random.default_rng(seed)
    found: list[int] = []
    for seconds, milliseconds in parts:
        count = round(seconds * 1e3 / milliseconds)
        found += [int(v) for v in milliseconds * MS * np.exp(rng.normal(0, noise, count))]
    return found


BLIND: dict[str, Any] = {"frequency_khz": {}, "governor": {}, "throttled": {}}


def test_a_steady_run_shows_no_throttling() -> None:
    data, judged = show("sustained", sustained_launch(levels((300, 10)), watched(300)))
    figures = data["sustained"]
    assert figures["throttled_after_s"] is None and figures["throttled_by"] is None
    assert figures["shifts"] == [] and figures["settled"]
    assert figures["slowdown"]["low"] <= 1.0 <= figures["slowdown"]["high"]
    assert figures["slowdown"]["high"] - figures["slowdown"]["low"] < 0.01
    assert judged.status == "valid"
    assert figures["window_s"] == 1.0 and len(figures["windows"]) == pytest.approx(300, abs=2)
    assert figures["windows"][7]["p90_ms"] == pytest.approx(10.13, abs=0.1)


def test_a_fall_of_the_clock_in_the_middle_is_found_at_its_time() -> None:
    states = watched(300, frequency_khz=(120, {"policy0": 1_500_000}))
    data, judged = show("sustained", sustained_launch(levels((120, 10), (180, 16)), states))
    figures = data["sustained"]
    assert figures["throttled_by"] == "clock"
    assert figures["throttled_after_s"] == pytest.approx(120, abs=1.5)
    assert figures["resolution_s"] == 1.0
    assert "fell from 2,400 to 1,500 MHz" in figures["throttle_evidence"]
    assert "the latency rose by 60%" in figures["throttle_evidence"]
    assert judged.status == "throttled"
    (shift,) = figures["shifts"]
    assert shift["t_s"] == pytest.approx(120, abs=2)
    assert (shift["before_ms"], shift["after_ms"]) == (
        pytest.approx(10, rel=0.01),
        pytest.approx(16, rel=0.01),
    )
    assert figures["slowdown"]["value"] == pytest.approx(1.6, rel=0.01)
    assert figures["steady_from_s"] == pytest.approx(120, abs=2)


def test_a_flag_that_rises_is_found_at_its_time() -> None:
    states = watched(120, throttled=(40, {"now:throttled": 1, "since-boot:throttled": 1}))
    states = [
        replace(s, throttled=s.throttled or {"now:throttled": 0, "since-boot:throttled": 0}) for s in states
    ]
    data, judged = show("sustained", sustained_launch(levels((120, 10)), states))
    assert data["sustained"]["throttled_by"] == "flag"
    assert data["sustained"]["throttled_after_s"] == pytest.approx(40.5)
    assert judged.status == "throttled"


def test_under_voltage_is_another_matter_than_throttling() -> None:
    states = watched(60, throttled=(30, {"now:under-voltage": 1}))
    states = [replace(state, throttled=state.throttled or {"now:under-voltage": 0}) for state in states]
    data, judged = show("sustained", sustained_launch(levels((60, 10)), states))
    assert data["sustained"]["throttled_after_s"] is None
    assert judged.status == "undervolted"


def test_where_the_device_tells_nothing_the_latency_tells() -> None:
    states = [replace(state, **BLIND) for state in watched(300)]
    data, judged = show("sustained", sustained_launch(levels((80, 10), (220, 12)), states))
    figures = data["sustained"]
    assert figures["throttled_by"] == "latency"
    assert figures["throttled_after_s"] == pytest.approx(80, abs=2)
    assert judged.status == "throttled"
    assert "the latency rose by 20% after" in judged.evidence[0] and "did not come back" in judged.evidence[0]


def test_a_slower_end_that_a_device_with_a_clock_does_not_explain_is_noise() -> None:
    _, judged = show("sustained", sustained_launch(levels((80, 10), (220, 12)), watched(300)))
    assert judged.status == "noisy"
    assert "though the device tells of no throttling" in judged.evidence[0]


def test_a_disturbance_that_passes_is_no_throttling() -> None:
    latency = levels((100, 10), (30, 14), (170, 10))
    data, judged = show("sustained", sustained_launch(latency, watched(300)))
    assert data["sustained"]["throttled_after_s"] is None
    assert len(data["sustained"]["shifts"]) == 2
    assert judged.status == "noisy" and "and came back" in judged.evidence[0]


def test_an_early_step_is_found_as_well_as_a_late_one() -> None:
    for at in (8, 290):
        values = np.exp(np.random.default_rng(3).normal(0, 0.01, 300))
        values[at:] *= 1.2
        assert [s.start for s in stretches(values)] == [0, at]


def test_single_slow_windows_and_slow_drifts_under_the_least_effect_are_no_shifts() -> None:
    values = np.exp(np.random.default_rng(4).normal(0, 0.01, 600))
    values[::50] *= 1.5
    assert len(stretches(values)) == 1
    assert len(stretches(values * np.linspace(1.0, 1.03, 600))) == 1


def test_noise_is_not_cut_into_levels() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        walk = np.convolve(
            rng.normal(0, 0.02, 609), np.ones(10) / 10, "valid"
        )  # neighbours resemble each other
        assert len(stretches(np.exp(walk + rng.normal(0, 0.01, 600)))) == 1, seed


def test_a_run_that_still_changes_has_not_settled() -> None:
    states = [replace(state, **BLIND) for state in watched(200)]
    data, _ = show("sustained", sustained_launch(levels((180, 10), (20, 13)), states))
    assert not data["sustained"]["settled"]
    assert any("still changed" in remark for remark in data["remarks"])


def test_a_run_that_ends_before_its_time_is_too_short() -> None:
    made = sustained_launch(levels((60, 10)), watched(60), asked_s=600)
    assert made.timing
    _, judged = show("sustained", replace(made, timing=replace(made.timing, capped=True)))
    assert judged.status == "too short"
    assert "the run lasted 1 of 10 minutes" in judged.evidence[0] and "set a rate" in judged.evidence[0]


def test_a_slow_model_gets_longer_windows_and_a_short_run_no_slowdown() -> None:
    data, _ = show("sustained", sustained_launch([SECOND] * 60, watched(60)))
    figures = data["sustained"]
    assert figures["window_s"] == 15.0 and all(w["p90_ms"] is None for w in figures["windows"])
    assert figures["slowdown"] is None and "5 of each are needed" in figures["slowdown_reason"]


def test_a_paced_run_over_minutes_has_deadlines_too() -> None:
    service = [3 * MS] * 6000
    starts = serve(PACE, service)
    made = launch(service, duration_ns=60 * SECOND, states=watched(60))
    run = SustainedRun(60 * SECOND - 7 * MS, starts, PACE)
    data, judged = show("sustained", replace(made, scenario=ScenarioRun("sustained", sustained=run)))
    assert data["paced"]["misses"] == 0 and data["sustained"]["minutes"] == pytest.approx(1, rel=1e-3)
    assert data["paced"]["idle_gap_reason"] == "no inference was timed back to back"
    assert "at 100 Hz" in data["headline"] and judged.status == "valid"


def test_an_idle_clock_between_arrivals_is_no_throttling() -> None:
    states = [
        replace(
            s, governor={"policy0": "ondemand"}, frequency_khz={"policy0": 600_000 if i % 2 else 2_400_000}
        )
        for i, s in enumerate(watched(11))
    ]
    _, judged = show("paced", replace(paced_launch([3 * MS] * 1100), environment=tuple(states)))
    assert judged.status == "valid"
    busy = paced_launch([round(9.5 * MS)] * 1100)
    _, judged = show("paced", replace(busy, environment=tuple(states)))
    assert judged.status == "throttled"


@pytest.mark.parametrize(("slow", "status"), [(1, "valid"), (4, "perturbed")])
def test_what_reading_the_state_cost_is_measured(slow: int, status: str) -> None:
    """A reading of 50 ms every second, during which inferences of 1 ms take so many times as long."""
    latency = ([MS * slow] * (52 // slow) + [MS] * 948) * 60
    made = sustained_launch(latency, watched(60))
    watching = Watching(
        SECOND,
        Samples((100 + second) * SECOND for second in range(60)),
        Samples([50 * MS] * 60),
        Samples([9 * MS] * 60),
    )
    _, judged = show("sustained", replace(made, watching=watching))
    assert judged.status == status
    (cost,) = [sentence for sentence in judged.evidence if "read 60 times meanwhile" in sentence]
    assert "for 0.90% of one processor's time" in cost
    assert ("inferences took +3.90% for it" if slow == 4 else "inferences took +0.00% for it") in cost


def test_a_watch_that_died_never_certifies() -> None:
    made = paced_launch([3 * MS] * 1100)
    dead = Watching(SECOND, Samples(), Samples(), Samples(), "reading took over 10 s and goes on")
    _, judged = show("paced", replace(made, watching=dead))
    assert judged.status == "perturbed" and "was not read to the end" in judged.evidence[0]


# --- offline and multi-stream ----------------------------------------------------------------------


def offline_launch(*batches: BatchRun) -> RunResult:
    return replace(launch(), scenario=ScenarioRun("offline", batches=batches))


def batch(size: int, milliseconds: float, count: int = 200) -> BatchRun:
    took = int(milliseconds * MS)
    return BatchRun(size, Samples([took] * count), took * count)


def test_throughput_is_samples_over_wall_time() -> None:
    launches = [
        offline_launch(batch(4, 16), batch(1, 10 * f), BatchRun(8, reason="out of memory"))
        for f in (0.99, 1.0, 1.01)
    ]
    data, _ = show("offline", *launches)
    one, four, eight = data["batches"]
    assert [b["batch"] for b in data["batches"]] == [1, 4, 8]
    assert (one["throughput"], one["gain"]) == (pytest.approx(100), 1.0)
    assert (one["low"], one["high"]) == (pytest.approx(99.0099), pytest.approx(101.0101))
    assert (four["throughput"], four["gain"]) == (pytest.approx(250), pytest.approx(2.5))
    assert four["latency_ms"]["p50"] == 16.0 and four["latency_ms"]["count"] == 600
    assert eight["throughput"] is None and eight["reason"] == "out of memory"
    assert data["headline"] == "250/s at batch 4, 2.50 times that of batch 1; a batch takes 16.0 ms"
    assert "batch 8: out of memory" in data["remarks"]


def test_a_smaller_batch_that_does_nearly_as_well_is_named() -> None:
    data, _ = show("offline", offline_launch(batch(1, 10), batch(2, 10.1), batch(4, 20)))
    assert data["remarks"][0] == "batch 2 reaches 99% of the highest throughput"


def test_offline_ships_by_throughput() -> None:
    rows = [
        replace(
            row(measured(offline_launch(batch(1, small), batch(8, large)))),
            scenario="offline",
            cell=replace(row().cell, recipe=recipe),
        )
        for recipe, small, large in (("fp32", 10, 40), ("int8-static", 9, 60))
    ]
    (headline,) = report_document(stored(*rows)).headlines
    assert headline.recipe == "fp32" and "200/s at best" in headline.sentence


def stream(
    name: str, alone: float, beside: float, begin_ms: int, seconds: float, *, other: bool = False
) -> StreamRun:
    count = round(seconds * 1e3 / beside)
    return StreamRun(
        name,
        "onnxruntime",
        ("CPUExecutionProvider",),
        Samples([int(alone * MS)] * 100),
        Starts(begin_ms * MS, Samples([0] * count)),
        Samples([int(beside * MS)] * count),
        other,
    )


def test_streams_are_compared_with_themselves_alone() -> None:
    run = ScenarioRun(
        "multi-stream",
        streams=(stream("a", 5, 10, 1000, 12), stream("b", 4, 5, 1003, 12, other=True)),
    )
    data, _ = show("multi-stream", *(replace(launch(), scenario=run) for _ in range(2)))
    figures = data["multi_stream"]
    first, second = figures["streams"]
    assert (first["slowdown"]["value"], second["slowdown"]["value"]) == (2.0, 1.25)
    assert first["throughput"] == pytest.approx(100, rel=0.01)
    assert second["throughput"] == pytest.approx(200, rel=0.01)
    assert figures["throughput"] == pytest.approx(300, rel=0.01)
    assert figures["work"] == pytest.approx(0.5 + 0.8, rel=0.01)
    assert figures["fairness"] == pytest.approx(1.3**2 / (2 * (0.25 + 0.64)), rel=0.01)
    assert second["is_other"] and not first["is_other"]


def test_fairness_is_jain_s_index() -> None:
    assert jain([1, 1, 1]) == pytest.approx(1) and jain([1, 0, 0, 0]) == pytest.approx(0.25)


def test_streams_that_never_met_give_no_figures() -> None:
    run = ScenarioRun("multi-stream", streams=(stream("a", 5, 5, 0, 1), stream("b", 5, 5, 2000, 1)))
    data, judged = show("multi-stream", replace(launch(), scenario=run))
    assert data["multi_stream"] is None and "did not run at the same time" in data["reason"]
    assert judged.status == "too short"


# --- what a device may send ------------------------------------------------------------------------


def test_samples_that_contradict_each_other_are_a_reason_and_no_figures() -> None:
    made = paced_launch([3 * MS] * 1100)
    assert made.scenario and made.scenario.paced
    for gaps in (Samples([0] * 7), Samples([-5] * 1100), Samples([1 << 62] * 1100)):
        bad = replace(made.scenario.paced, starts=Starts(0, gaps))
        data, judged = show("paced", replace(made, scenario=ScenarioRun("paced", paced=bad)))
        assert data["paced"] is None and data["reason"].startswith("the scenario paced gave no figures")
        assert judged.status == "too short"
    data, _ = show("paced", launch())
    assert data["reason"] == "the scenario paced gave no figures: no launch was paced"


NUMBERS = st.lists(st.integers(-5, 10**12), max_size=40)


@settings(max_examples=30, deadline=None)
@given(NUMBERS, NUMBERS.filter(bool))
def test_no_samples_break_the_report(gaps: list[int], latency: list[int]) -> None:
    starts = Starts(0, Samples(gaps))
    made = launch([abs(v) + 1 for v in latency], duration_ns=11 * SECOND)
    assert made.timing
    made = replace(made, timing=replace(made.timing, latency_ns=Samples(latency)))
    for kind, run in (
        ("paced", ScenarioRun("paced", paced=PacedRun(PACE, starts, Samples(), Samples()))),
        ("sustained", ScenarioRun("sustained", sustained=SustainedRun(SECOND, starts))),
        ("multi-stream", ScenarioRun("multi-stream", streams=(stream("a", 5, 5, 0, 1),) * 2)),
        ("offline", ScenarioRun("offline", batches=(BatchRun(1, Samples(latency), 0),))),
    ):
        show(kind, replace(made, scenario=run))


def test_the_raw_scenario_goes_over_the_wire_unchanged() -> None:
    made = paced_launch([3 * MS + i for i in range(500)])
    sent = json.loads(json.dumps(encode(made)))
    assert decode(RunResult, sent) == made
    assert len(json.dumps(sent["scenario"]["paced"]["starts"])) < 3000  # gaps pack well


def test_every_renderer_shows_the_headline() -> None:
    one = replace(row(measured(paced_launch([3 * MS] * 1100))), scenario="paced")
    document = report_document(stored(one))
    headline = document.rows[0].scenario
    assert headline and headline.headline
    for name in ("terminal", "markdown", "html", "csv", "json"):
        text = " ".join(render(document, name).split())
        assert "of 1,100 deadlines of 10.0 ms missed" in text, name


def test_the_page_draws_the_curve_and_the_throughput() -> None:
    states = watched(120, frequency_khz=(60, {"policy0": 1_500_000}))
    one = replace(row(measured(sustained_launch(levels((60, 10), (60, 16)), states))), scenario="sustained")
    page = render(report_document(stored(one)), "html")
    figures = json.loads(page.split('id="figures">')[1].split("</script>")[0])
    curve = next(figure for name, figure in figures.items() if "sustained" in name)
    names = [trace.get("name") for trace in curve["data"]]
    assert {"median of 2 s", "up to p90", "temperature, °C", "fastest clock, MHz"} <= set(names)
    assert curve["layout"]["shapes"][0]["x0"] == pytest.approx(1.0, abs=0.03)
    two = replace(row(measured(offline_launch(batch(1, 10), batch(4, 16)))), scenario="offline")
    page = render(report_document(stored(two)), "html")
    assert "Throughput against batch size" in page
