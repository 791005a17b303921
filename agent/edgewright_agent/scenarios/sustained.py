"""Minutes on end: whether the device keeps its speed, and from when on it does not."""

from ..protocol import ScenarioRun, SustainedRun
from .dated import course_of
from .stage import MONOTONIC, Clock, Played, Stage, warm_up


def play(stage: Stage, clock: Clock = MONOTONIC) -> Played:
    """From the first minute on; the host asks for next to no warm-up, since that would warm the device."""
    scenario, invoke = stage.scenario, stage.session.invoke
    warmup = warm_up(invoke, scenario)
    course = course_of(invoke, scenario, scenario.pace, clock)
    run = SustainedRun(scenario.min_duration_ns, course.starts, scenario.pace, course.ended)
    return Played(
        warmup,
        course.latency_ns,
        course.duration_ns,
        course.capped,
        ScenarioRun("sustained", sustained=run),
    )
