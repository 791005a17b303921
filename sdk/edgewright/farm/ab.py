"""Two models by turns on one device, launch after launch, until it is known which one is faster."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright.artifact import Artifact
from edgewright.device import Errand
from edgewright.errors import DeviceError, TransientDeviceError
from edgewright.report.paired import LOOKS, Finding, LaunchRatio, launch_ratio, look
from edgewright_agent import protocol as wire
from edgewright_agent.protocol_pair import PairJob, PairLaunch, PairPlan, PairResult

from .execute import choose_runtime
from .job import Bench, Settings, format_of, make_job
from .profile_ops import Model

_NS = 1_000_000_000
#: The timed part of a launch, as a share of the budget, and between which bounds.
_LAUNCH_SHARE = 1 / 80
_LAUNCH_S = (0.3, 5.0)
#: A slow model may take longer, so long as the budget has room for so many launches.
_LAUNCHES_WANTED = 1.5 * LOOKS[0]


@dataclass(frozen=True)
class Contest:
    """What is compared, and when to stop: at ``budget_s`` seconds of measuring at the latest."""

    a: Model
    b: Model
    threshold: float
    budget_s: float


@dataclass(frozen=True)
class Trial:
    """The launches of a contest so far, and what the last look at them found.

    ``error`` is what kept it from going on; there is no answer then, whatever was found before.
    """

    artifacts: tuple[Artifact, Artifact]
    results: tuple[PairResult, ...] = ()
    ratios: tuple[LaunchRatio, ...] = ()
    finding: Finding | None = None
    elapsed_s: float = 0.0
    error: str = ""

    @property
    def launches(self) -> tuple[PairLaunch, ...]:
        """All of them, in the order they ran."""
        return tuple(launch for result in self.results for launch in result.launches)

    @property
    def environment(self) -> tuple[wire.Environment, ...]:
        """The device's state before, between and after the batches of launches."""
        return tuple(state for result in self.results for state in result.environment)


def run_contest(
    contest: Contest, bench: Bench, settings: Settings, on_trial: Callable[[Trial], None]
) -> Trial:
    """Build both, then measure until the answer is settled, the budget ends, or the last look is over.

    Args:
        on_trial: called after each look.

    Raises:
        ConfigError, UnsupportedError, BuildError: a model cannot be had, or not for this device; or its
            processor is emulated.
        DeviceError: the device cannot be reached. What a device fails at is in the trial.
    """
    bench.check_times()
    job, files, artifacts = _job(contest, bench, settings)
    trial = Trial(artifacts)
    started = time.monotonic()
    for number in LOOKS:
        left_s = contest.budget_s - (time.monotonic() - started)
        wanted = number - len(trial.ratios)
        if left_s <= 0:
            break
        plan = _plan(contest.budget_s, left_s, first=len(trial.ratios), launches=wanted)
        pair = PairJob(replace(job, job_id=uuid.uuid4().hex), plan)
        try:
            result = bench.device.pair(pair, files, errand=Errand("comparison of two models"))
        except DeviceError as error:
            if error.exit_code != 1:
                raise
            return replace(trial, error=str(error), elapsed_s=time.monotonic() - started)
        with suppress(TransientDeviceError):  # a device that is gone keeps what is here already
            bench.device.acknowledge(pair.job.job_id)
        trial = _looked(trial, result, contest.threshold, time.monotonic() - started)
        on_trial(trial)
        if len(result.launches) < wanted or (trial.finding and trial.finding.is_settled):
            break
    return trial


def _looked(trial: Trial, result: PairResult, threshold: float, elapsed_s: float) -> Trial:
    """With one more batch of launches. A look that sees nothing new would spend its chance of error twice."""
    ratios = (*trial.ratios, *map(launch_ratio, result.launches))
    finding = trial.finding
    if result.launches:
        finding = look([one.ratio for one in ratios], threshold)
    return replace(
        trial,
        results=(*trial.results, result),
        ratios=ratios,
        finding=finding,
        elapsed_s=elapsed_s,
    )


def _plan(budget_s: float, left_s: float, *, first: int, launches: int) -> PairPlan:
    least, most = _LAUNCH_S
    return PairPlan(
        launches=launches,
        budget_ns=int(left_s * _NS),
        first=first,
        duration_ns=int(min(most, max(least, budget_s * _LAUNCH_SHARE)) * _NS),
        longest_ns=int(max(least, budget_s / _LAUNCHES_WANTED) * _NS),
    )


def _job(
    contest: Contest, bench: Bench, settings: Settings
) -> tuple[wire.Job, dict[str, Path], tuple[Artifact, Artifact]]:
    """A's job with B as its companion, and where each file is on this host."""
    made = []
    files: dict[str, Path] = {}
    for model in (contest.a, contest.b):
        runtime = choose_runtime(model.runtime, model.subject, bench)
        artifact, _ = model.subject.artifact(model.recipe, bench.profile, format_of(runtime))
        job, own = make_job(artifact, runtime, bench, settings, name=uuid.uuid4().hex, evaluate=False)
        files.update(own)
        made.append((job, artifact))
    (a, artifact_a), (b, artifact_b) = made
    companion = wire.Companion(b.model, b.execution, b.data)
    job = replace(a, scenario=None, energy=None, companions=(companion,))
    return job, files, (artifact_a, artifact_b)
