"""Back to back: one inference at a time, each as soon as the one before it is done."""

from .. import timing
from .stage import Played, Stage


def play(stage: Stage) -> Played:
    """Warm up, then the timed loop."""
    measured = timing.measure(stage.session.invoke, stage.scenario, 0, 0)
    return Played(measured.warmup_ns, measured.latency_ns, measured.duration_ns, measured.capped)
