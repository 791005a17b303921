"""What a scenario and its options ask of a launch."""

from __future__ import annotations

from typing import Any

import pytest

from edgewright.errors import ConfigError
from edgewright.farm.effort import EFFORTS
from edgewright.farm.scenario import MOST_SUSTAINED, Driving
from edgewright.farm.subject import BareSubject
from edgewright_agent.protocol import SCENARIOS, EnergyPlan

SECOND = 1_000_000_000
QUICK = EFFORTS["quick"]


def none(text: str) -> BareSubject:
    raise AssertionError(f"{text} was opened")


def parse(kind: str | None, **options: Any) -> Driving:
    return Driving.parse(kind, options, none)


def test_every_scenario_has_options_that_suffice() -> None:
    needed: dict[str, dict[str, Any]] = {"paced": {"rate": 30.0}}
    for kind in SCENARIOS:
        driving = parse(kind, **needed.get(kind, {}))
        scenario = driving.scenario(driving.effort(QUICK))
        assert scenario.kind == kind and scenario.watch_ns == SECOND
        assert scenario.min_duration_ns <= scenario.max_duration_ns
    assert parse(None) == Driving()


def test_a_single_stream_is_asked_what_the_preset_says_and_watched() -> None:
    plain, watched = QUICK.scenario(), Driving().scenario(QUICK)
    assert (watched.min_count, watched.min_duration_ns) == (plain.min_count, plain.min_duration_ns)
    assert Driving().energy(EnergyPlan()) == EnergyPlan()


def test_arrivals_are_due_before_the_next_unless_said_otherwise() -> None:
    pace = parse("paced", rate=30.0).pace
    assert pace and (pace.period_ns, pace.deadline_ns) == (33_333_333, 33_333_333)
    pace = parse("paced", rate=30.0, deadline_ms=12.5).pace
    assert pace and pace.deadline_ns == 12_500_000


def test_a_slow_rate_is_given_the_time_that_its_count_takes() -> None:
    scenario = parse("paced", rate=0.5).scenario(EFFORTS["publish"])
    assert scenario.max_duration_ns >= scenario.min_count * 2 * SECOND


def test_a_sustained_run_is_one_launch_that_begins_cold() -> None:
    driving = parse("sustained", minutes=3.0)
    effort = driving.effort(QUICK)
    scenario = driving.scenario(effort)
    assert (effort.launches, effort.repeats, effort.name) == (1, 0, "quick")
    assert scenario.min_duration_ns == 180 * SECOND and scenario.min_count == QUICK.min_count
    assert (scenario.warmup_count, scenario.warmup_duration_ns) == (1, 0)
    assert scenario.max_count == MOST_SUSTAINED
    assert driving.seconds(effort) > 180
    minutes = {name: parse("sustained").scenario(effort) for name, effort in EFFORTS.items()}
    assert [minutes[n].min_duration_ns // (60 * SECOND) for n in ("rapid", "quick", "publish")] == [2, 10, 30]
    assert parse("sustained", minutes=1440.0).scenario(effort).watch_ns == 24 * SECOND  # within 4096 readings


def test_every_batch_gets_the_minima_and_comes_first_in_turn() -> None:
    driving = parse("offline", batch=(1, 2, 4))
    orders = [driving.scenario(QUICK, turn).batches for turn in range(4)]
    assert orders == [(1, 2, 4), (2, 4, 1), (4, 1, 2), (1, 2, 4)]
    assert driving.scenario(QUICK).min_count == QUICK.scenario().min_count
    assert driving.energy(EnergyPlan()) is None


def test_streams_share_the_cores() -> None:
    driving = parse("multi-stream", streams=3)
    assert driving.sessions == 3
    assert [driving.threads(cores) for cores in (1, 4, 6, 8)] == [1, 1, 2, 2]
    assert parse("single-stream").threads(4) == 4
    assert parse("multi-stream").streams == 2


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("multistream", {}, "did you mean 'multi-stream'"),
        ("paced", {}, "needs rate"),
        ("paced", {"rate": float("nan")}, "rate is nan"),
        ("paced", {"rate": 1e9}, "from 0.001 to 100000"),
        ("offline", {"rate": 3.0}, "rate is for scenario paced or sustained, not offline"),
        ("sustained", {"deadline_ms": 3.0}, "deadline_ms needs rate"),
        ("sustained", {"minutes": 0.0}, "minutes is 0"),
        ("offline", {"batch": (1, 1)}, "different sizes"),
        ("multi-stream", {"streams": 65}, "from 1 to 64"),
        ("multi-stream", {"streams": 0}, "streams is 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(kind, **options)
