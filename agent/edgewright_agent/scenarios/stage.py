"""What a scenario is given and what it gives back."""

import os
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional

from .. import arrays, timing
from ..protocol import FileRef, Job, Samples, Scenario, ScenarioRun
from ..runtimes import Session

try:
    from typing import Protocol
except ImportError:  # pragma: no cover - Python before 3.8 is refused earlier
    raise

Invoke = Callable[[], object]


@dataclass(frozen=True)
class Clock:
    """Time as the scenarios see it; tests bring their own. Nanoseconds to read, seconds to wait."""

    now: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], None] = time.sleep


MONOTONIC = Clock()


@dataclass(frozen=True)
class Stage:
    """A job whose model is loaded, fed, has run once and computes what it should.

    Attributes:
        folder: the job's own.
        outputs: of the first inference.
        is_same: whether the outputs were seen to be the host's, so that others can be compared with them.
        fresh: loads the model once more, without inputs.
    """

    job: Job
    folder: str
    session: Session
    inputs: Dict[str, Any]
    outputs: Dict[str, Any]
    is_same: bool
    fresh: Callable[[], Session]

    @property
    def scenario(self) -> Scenario:
        """The job's own; without one nothing is played."""
        assert self.job.scenario is not None
        return self.job.scenario

    def arrays(self, folder: str, ref: Optional[FileRef]) -> Dict[str, Any]:
        """The arrays of a file that the parent placed in ``folder``; none without a file."""
        return {} if ref is None else arrays.load(os.path.join(self.folder, folder, ref.name))


@dataclass(frozen=True)
class Played:
    """Latencies of one inference after another, and what else the scenario saw."""

    warmup_ns: Samples
    latency_ns: Samples
    duration_ns: int
    capped: bool = False
    run: Optional[ScenarioRun] = field(default=None)


class Play(Protocol):
    """Drives a model in one way."""

    def __call__(self, stage: Stage) -> Played:
        """Warm up, then drive and time it.

        Raises:
            AgentFailure: an inference failed, or the scenario lacks what it needs.
        """


def warm_up(invoke: Invoke, scenario: Scenario) -> Samples:
    """As long as the scenario says; these samples are never mixed with the steady state's."""
    samples, _, _ = timing.timed_loop(
        invoke,
        scenario.warmup_count,
        scenario.warmup_duration_ns,
        scenario.max_duration_ns,
        scenario.max_count,
    )
    return samples


def reference(invoke: Invoke, scenario: Scenario) -> Samples:
    """Back to back for a quarter of what the scenario takes: what its own latencies are compared with."""
    samples, _, _ = timing.timed_loop(
        invoke,
        max(16, scenario.min_count // 4),
        scenario.min_duration_ns // 4,
        max(1, scenario.max_duration_ns // 4),
        scenario.max_count,
    )
    return samples
