"""Arrivals at a steady rate, as from a camera: deadlines, queueing, and what idling in between costs."""

from ..failure import AgentFailure
from ..protocol import PacedRun, ScenarioRun
from .dated import at_rate
from .stage import MONOTONIC, Clock, Played, Stage, reference, warm_up


def play(stage: Stage, clock: Clock = MONOTONIC) -> Played:
    """Back to back, at the rate, back to back again: a drift falls on both sides of the comparison."""
    scenario, invoke = stage.scenario, stage.session.invoke
    pace = scenario.pace
    if pace is None or pace.period_ns < 1 or pace.deadline_ns < 1:
        raise AgentFailure("protocol", "the scenario paced needs a period and a deadline above zero")
    warmup = warm_up(invoke, scenario)
    before = reference(invoke, scenario)
    course = at_rate(invoke, scenario, pace, clock)
    after = reference(invoke, scenario)
    run = PacedRun(pace, course.starts, before, after, course.ended)
    return Played(
        warmup,
        course.latency_ns,
        course.duration_ns,
        course.capped,
        ScenarioRun("paced", paced=run),
    )
