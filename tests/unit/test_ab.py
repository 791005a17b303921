"""``edgewright ab`` without a device: when it stops, what it says, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from tests.fakes import device as facts
from tests.fakes import environment
from tests.pairs import pair_launch, pair_side

from edgewright.artifact import Artifact, sha256_file
from edgewright.cli.answers import answer_code
from edgewright.cli.quantities import parse_duration, parse_share
from edgewright.device import Errand
from edgewright.device.results import check_pair
from edgewright.errors import AgentFault, DeviceError, ProtocolMismatch, TransportError
from edgewright.farm.ab import Contest, Trial, run_contest
from edgewright.farm.effort import load_effort
from edgewright.farm.inventory import Target
from edgewright.farm.job import Bench, Settings
from edgewright.farm.profile_ops import Model
from edgewright.profiles import load_profile
from edgewright.report.ab import AbDocument, Contender, Measured, Terms, ab_document
from edgewright.report.decision import Answer
from edgewright.report.paired import LOOKS
from edgewright.report.plain import render_json
from edgewright_agent.protocol import Samples
from edgewright_agent.protocol_pair import PairJob, PairLaunch, PairResult


@dataclass(frozen=True)
class File:
    """A model file that nobody runs."""

    path: Path
    name: str = "m.onnx"
    default_runtime: str = "onnxruntime"

    def check_format(self, format_name: str) -> None:
        assert format_name == "onnx"

    def artifact(self, *_: object) -> tuple[Artifact, tuple[str, ...]]:
        return Artifact(self.path, "onnx", sha256_file(self.path), self.path.stat().st_size), ()

    def score(self, *_: object) -> None:
        raise AssertionError("nothing is scored")


@dataclass
class Board:
    """A device whose launches give a ratio; after ``stops_after`` of them the budget is over."""

    ratio: Callable[[int], float]
    stops_after: int = 1000
    fails_at: int | None = None
    error: DeviceError | None = None
    jobs: list[PairJob] = field(default_factory=list)
    target: Target = field(default_factory=lambda: Target("pi5", "raspberry-pi-5"))

    def acknowledge(self, job_id: str) -> None:
        assert job_id == self.jobs[-1].job.job_id

    def pair(self, pair: PairJob, files: Mapping[str, Path], errand: Errand) -> PairResult:
        assert errand.label
        self.jobs.append(pair)
        plan = pair.plan
        assert len(pair.job.companions) == 1 and pair.job.scenario is None and pair.job.energy is None
        assert {pair.job.model.files[0].sha256, pair.job.companions[0].model.files[0].sha256} == set(files)
        last = min(plan.first + plan.launches, self.stops_after)
        if self.error and self.fails_at is not None and last > self.fails_at:
            raise self.error
        launches = [self.launch(number) for number in range(plan.first, last)]
        return PairResult(pair.job.job_id, tuple(launches), (environment(plan.first), environment(last)))

    def launch(self, number: int) -> PairLaunch:
        return pair_launch(400_000, round(400_000 * self.ratio(number)), number=number)


def bench(board: Board) -> Bench:
    return Bench(cast(Any, board), load_profile("raspberry-pi-5"), facts())


def run(board: Board, tmp_path: Path, budget_s: float = 60.0) -> tuple[Trial, AbDocument]:
    models = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(name.encode())
        models.append(Model(path.name, cast(Any, File(path)), None, "onnxruntime"))
    contest = Contest(models[0], models[1], 0.05, budget_s)
    looks: list[Trial] = []
    trial = run_contest(contest, bench(board), Settings(load_effort("rapid"), 1), looks.append)
    assert all(len(one.ratios) <= len(trial.ratios) for one in looks)
    sides = [Contender(m.label, None, m.runtime, a) for m, a in zip(models, trial.artifacts, strict=True)]
    seen = Measured(
        trial.launches, trial.ratios, trial.finding, trial.environment, trial.elapsed_s, trial.error
    )
    return trial, ab_document(sides[0], sides[1], seen, Terms(0.05, budget_s, "pi5", facts()))


@pytest.mark.parametrize(
    ("ratio", "verdict", "code"), [(1.0, "same", 0), (1.05, "slower", 1), (1 / 1.05, "faster", 0)]
)
def test_it_stops_at_the_first_look_that_settles_it(
    tmp_path: Path, ratio: float, verdict: Answer, code: int
) -> None:
    board = Board(lambda number: ratio * (1 + 0.002 * (number % 3 - 1)))
    trial, document = run(board, tmp_path)
    assert document.verdict == verdict and answer_code([document.verdict]) == code
    assert document.ratio == pytest.approx(ratio, rel=2e-3)
    assert (
        document.ratio
        and document.interval
        and document.interval[0] <= document.ratio <= document.interval[1]
    )
    assert len(trial.launches) == LOOKS[0] and len(board.jobs) == 1
    assert document.reason is None and document.confidence == pytest.approx(0.99)


def test_it_goes_on_while_it_cannot_tell_and_ends_at_the_last_look(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    board = Board(lambda _: float(np.exp(rng.normal(0.025, 0.2))))
    trial, document = run(board, tmp_path)
    assert [job.plan.first + job.plan.launches for job in board.jobs] == list(LOOKS)
    assert [launch.number for launch in trial.launches] == list(range(LOOKS[-1]))
    assert len({job.job.job_id for job in board.jobs}) == len(LOOKS)
    assert document.verdict == "cannot tell" and answer_code([document.verdict]) == 4
    assert document.reason and document.reason.startswith("after 40 launches, at the last look, B may take ")


def test_it_ends_with_its_budget(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    board = Board(lambda _: float(np.exp(rng.normal(0.025, 0.2))), stops_after=11)
    trial, document = run(board, tmp_path)
    assert len(trial.launches) == 11 and len(board.jobs) == 2
    assert document.reason and "at the budget of 60 s" in document.reason


def test_too_few_launches_cannot_tell_whatever_they_say(tmp_path: Path) -> None:
    _, document = run(Board(lambda _: 2.0, stops_after=4), tmp_path)
    assert document.verdict == "cannot tell" and document.interval is None
    assert document.ratio == pytest.approx(2.0, rel=1e-2)
    assert document.reason and document.reason.startswith("4 launches in the budget of 60 s, 10 are needed")
    _, nothing = run(Board(lambda _: 2.0, stops_after=0), tmp_path)
    assert nothing.verdict == "cannot tell" and nothing.ratio is None and nothing.a.median_ms is None


def test_a_budget_that_is_over_is_not_overdrawn(tmp_path: Path) -> None:
    trial, document = run(Board(lambda _: 1.0), tmp_path, budget_s=1e-9)
    assert trial.launches == () and document.verdict == "cannot tell"


def test_what_a_device_fails_at_is_no_answer(tmp_path: Path) -> None:
    error = AgentFault("pi5", "B: the worker was ended by SIGSEGV")
    rng = np.random.default_rng(0)
    board = Board(lambda _: float(np.exp(rng.normal(0.06, 0.03))), fails_at=11, error=error)
    trial, document = run(board, tmp_path)
    assert len(trial.launches) == 10
    assert document.verdict == "cannot tell" and document.reason == str(error)


def test_a_device_that_is_gone_is_an_error(tmp_path: Path) -> None:
    board = Board(lambda _: 1.0, fails_at=0, error=TransportError("pi5", "the connection broke"))
    with pytest.raises(TransportError, match="the connection broke"):
        run(board, tmp_path)


def test_the_json_has_every_launch_and_sample(tmp_path: Path) -> None:
    trial, document = run(Board(lambda _: 1.0), tmp_path)
    again = AbDocument.model_validate_json(render_json(document))
    assert again == document and again.schema_ == "edgewright.ab/1"
    assert [launch.latency_ns for launch in again.launches] == [
        list(launch.latency_ns) for launch in trial.launches
    ]
    assert (again.a.threads, again.a.providers, again.a.runtime_version) == (
        1,
        ["CPUExecutionProvider"],
        "1.23.2",
    )
    assert again.a.median_ms == pytest.approx(0.4, rel=0.01)
    assert {launch.loaded_first for launch in again.launches} == {"A", "B"}


def test_what_the_device_s_sensors_blame_is_told(tmp_path: Path) -> None:
    trial, document = run(Board(lambda _: 1.0), tmp_path)
    assert not any("throttled" in sentence for sentence in document.evidence)
    hot = (environment(0), environment(1, throttled={"now:throttled": 1}))
    sides = [
        Contender(name, None, "onnxruntime", one) for name, one in zip("ab", trial.artifacts, strict=True)
    ]
    seen = Measured(trial.launches, trial.ratios, trial.finding, hot, trial.elapsed_s)
    found = ab_document(sides[0], sides[1], seen, Terms(0.05, 60, "pi5", facts()))
    assert found.verdict == "same"
    assert any("throttled held while the run was watched" in sentence for sentence in found.evidence)


def test_sides_that_ran_otherwise_are_told(tmp_path: Path) -> None:
    class Mixed(Board):
        def launch(self, number: int) -> PairLaunch:
            other = pair_side(providers=("XnnpackExecutionProvider",))
            return replace(super().launch(number), b=other)

    _, document = run(Mixed(lambda _: 1.0), tmp_path)
    assert "A ran on CPUExecutionProvider, B on XnnpackExecutionProvider" in document.evidence


def result(*launches: PairLaunch, job_id: str = "job") -> PairResult:
    return PairResult(job_id, launches, ())


def _broken(**changes: object) -> PairLaunch:
    return replace(pair_launch(1000, 1000), **changes)  # type: ignore[arg-type]


GOOD = pair_launch(1000, 1000)


@pytest.mark.parametrize(
    "launches",
    [
        [_broken(order="")],
        [_broken(order="ABAB" * 6)],
        [_broken(order="ABBA" * 6 + "AB")],
        [_broken(counts=Samples([12] * 23))],
        [_broken(counts=Samples([0, 24] + [12] * 22))],
        [_broken(latency_ns=Samples([1] * 7))],
        [_broken(latency_ns=Samples([0] * len(GOOD.latency_ns)))],
        [_broken(latency_ns=Samples([-5] * len(GOOD.latency_ns)))],
        [_broken(loaded_first="C")],
        [replace(GOOD, number=1)],
        [GOOD, GOOD],
        [replace(GOOD, number=n) for n in range(4)],
    ],
)
def test_a_device_that_says_what_cannot_be_is_not_believed(
    launches: Sequence[PairLaunch], tmp_path: Path
) -> None:
    board = Board(lambda _: 1.0, stops_after=3)
    run(board, tmp_path)
    pair = replace(board.jobs[0], plan=replace(board.jobs[0].plan, launches=3))
    pair = replace(pair, job=replace(pair.job, job_id="job"))
    check_pair("pi5", result(GOOD, replace(GOOD, number=1)), pair)
    with pytest.raises(ProtocolMismatch):
        check_pair("pi5", result(*launches), pair)
    with pytest.raises(ProtocolMismatch, match="another job's"):
        check_pair("pi5", result(GOOD, job_id="other"), pair)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (["same"], 0),
        (["same", "faster"], 0),
        (["same", "slower"], 1),
        (["slower", "cannot tell"], 1),
        (["faster", "cannot tell"], 4),
        ([], 4),
    ],
)
def test_the_exit_code_is_the_worst_answer_s(answers: list[Answer], code: int) -> None:
    assert answer_code(answers) == code


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("2.5 %", 0.025), (" 10% ", 0.1), ("99%", 0.99)]
)
def test_shares(text: str, share: float) -> None:
    assert parse_share(text, "--threshold") == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("2m", 120), ("1.5min", 90), ("1h", 3600), ("7", 7)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, "--budget") == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0%", "100%", "1", "5", "-5%", "nan", "inf%", "1e-3", "five", "5%%", "٥%"]
)
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(Exception, match="not a percentage"):
        parse_share(text, "--threshold")


@pytest.mark.parametrize("text", ["", "0s", "-1s", "1d", "nan", "s", "1 minute", "1e3s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(Exception, match="not a duration"):
        parse_duration(text, "--budget")
