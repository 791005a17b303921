"""Pruning to a latency on made-up devices: what is asked of them, and what is made of their answers."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.fakes import device as facts
from tests.fakes import environment
from tests.pairs import pair_launch
from torch import nn

from edgewright.artifact import Artifact, Provenance, sha256_file
from edgewright.build.builder import open_workload
from edgewright.compress import Changed, ModelJob
from edgewright.compress.prune import Prune
from edgewright.device import Errand
from edgewright.errors import AgentFault, ConfigError, DeviceError, TransportError, UnsupportedError
from edgewright.export.layers import write_layer
from edgewright.farm import layer_times, to_latency
from edgewright.farm.effort import load_effort
from edgewright.farm.inventory import Target as Place
from edgewright.farm.job import Bench, Settings
from edgewright.farm.layer_times import LayerTimes, table_key
from edgewright.farm.pruned import Found, Request
from edgewright.farm.race import race
from edgewright.farm.to_latency import prune_to_latency
from edgewright.latency.layers import NOTHING, LayerShape
from edgewright.latency.target import Target
from edgewright.profiles import load_profile
from edgewright.recipe import Recipe
from edgewright.workloads import WorkloadSource
from edgewright_agent.protocol import BatchRun, Job, RunResult, Samples, ScenarioRun
from edgewright_agent.protocol_pair import PairJob, PairResult

SHAPES = [LayerShape("linear", inputs, outputs, (1,)) for inputs in (8, 16, 24) for outputs in (8, 16)]
CALL_NS, REST_NS = 5_000, 40_000


def multiplications(path: Path) -> int:
    """What a model file computes, by its weights: linear layers alone."""
    graph = onnx.load(str(path)).graph
    return sum(tensor.dims[0] * tensor.dims[1] for tensor in graph.initializer if len(tensor.dims) == 2)


@dataclass
class Board:
    """A device that takes so long a multiplication; whole models take the rest as well."""

    per_multiplication_ns: float = 100.0
    fails_at: int | None = None
    error: DeviceError | None = None
    reason: str = ""
    whole: Callable[[int], float] | None = None
    jobs: list[Job] = field(default_factory=list)
    races: list[PairJob] = field(default_factory=list)
    target: Place = field(default_factory=lambda: Place("pi5", "raspberry-pi-5"))

    def acknowledge(self, job_id: str) -> None:
        assert job_id in [job.job_id for job in self.jobs] + [pair.job.job_id for pair in self.races]

    def run(self, job: Job, files: Mapping[str, Path], errand: Errand) -> RunResult:
        if self.error is not None and len(self.jobs) == self.fails_at:
            raise self.error
        self.jobs.append(job)
        assert errand.label and job.energy is None and job.scenario is not None
        assert job.scenario.batches == tuple(companion.batch for companion in job.companions)
        runs = tuple(
            self._run(companion.batch, files[companion.model.files[0].sha256]) for companion in job.companions
        )
        return cast(RunResult, _Result(job.job_id, ScenarioRun("offline", batches=runs)))

    def _run(self, batch: int, path: Path) -> BatchRun:
        if self.reason:
            return BatchRun(batch, reason=self.reason)
        taken = CALL_NS + int(self.per_multiplication_ns * multiplications(path))
        return BatchRun(batch, Samples([taken] * 3 + [10 * taken]))

    def pair(self, pair: PairJob, files: Mapping[str, Path], errand: Errand) -> PairResult:
        self.races.append(pair)
        assert pair.job.scenario is None and errand.label
        a, b = (
            self._whole(files[model.files[0].sha256])
            for model in (pair.job.model, pair.job.companions[0].model)
        )
        launches = tuple(pair_launch(a, b, number=number) for number in range(pair.plan.launches))
        return PairResult(pair.job.job_id, launches, (environment(0), environment(1)))

    def _whole(self, path: Path) -> int:
        count = multiplications(path)
        return int(
            self.whole(count) if self.whole else REST_NS + CALL_NS + self.per_multiplication_ns * count
        )


@dataclass(frozen=True)
class _Result:
    job_id: str
    scenario: ScenarioRun


def bench(board: Board) -> Bench:
    return Bench(cast(Any, board), load_profile("raspberry-pi-5"), facts())


SETTINGS = Settings(load_effort("rapid"), 1, evaluate_on_device=False)


def times(board: Board, root: Path) -> LayerTimes:
    return LayerTimes("onnxruntime", bench(board), SETTINGS, root)


def nothing_said(done: int, of: int) -> None:
    assert 0 <= done < of


def test_layers_are_timed_in_one_job_and_never_again(tmp_path: Path) -> None:
    board = Board()
    taken = times(board, tmp_path).take(SHAPES, nothing_said)
    assert taken == len(SHAPES) + 1 and len(board.jobs) == 1  # with the call of the runtime
    again = times(board, tmp_path)
    assert again.take(SHAPES, nothing_said) == 0 and len(board.jobs) == 1
    assert again.table.time_ns(SHAPES[0]) == 100 * 64 and again.table.time_ns(NOTHING) == 0
    assert again.table.time_ns(LayerShape("linear", 20, 12, (1,))) == pytest.approx(100 * 20 * 12)


def test_what_was_timed_before_an_interruption_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_times, "JOB_LAYERS", 2)
    board = Board(fails_at=2, error=TransportError("pi5", "gone"))
    with pytest.raises(TransportError):
        times(board, tmp_path).take(SHAPES, nothing_said)
    assert len(board.jobs) == 2
    board.error = None
    assert times(board, tmp_path).take(SHAPES, nothing_said) == len(SHAPES) + 1 - 4


def test_a_job_holds_no_more_bytes_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_times, "JOB_BYTES", 4 * 300)
    board = Board()
    times(board, tmp_path).take(SHAPES, nothing_said)
    assert len(board.jobs) > 2 and sum(len(job.companions) for job in board.jobs) == len(SHAPES) + 1


def test_a_layer_that_cannot_be_timed_is_named(tmp_path: Path) -> None:
    board = Board(reason="no\x1b kernel")
    with pytest.raises(UnsupportedError, match=r"pi5: .* on .* cannot be timed: no. kernel"):
        times(board, tmp_path).take(SHAPES[:1], nothing_said)
    assert len(times(board, tmp_path).table) == 0


def test_a_device_that_tells_of_fewer_layers_is_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board()
    monkeypatch.setattr(board, "run", lambda job, files, errand: _Result(job.job_id, ScenarioRun("offline")))
    monkeypatch.setattr(board, "acknowledge", lambda job_id: None)
    with pytest.raises(AgentFault, match="told nothing of"):
        times(board, tmp_path).take(SHAPES, nothing_said)


def test_the_key_tells_units_versions_and_states_apart() -> None:
    plain = bench(Board())
    key = table_key("onnxruntime", plain, SETTINGS)
    assert key.threads == 1 and key.version == "1.23.2" and "pi5" in key.device
    others = [
        table_key("onnxruntime", replace(plain, facts=facts(hostname="pi5-b")), SETTINGS),
        table_key("onnxruntime", plain, replace(SETTINGS, threads=2)),
        table_key(
            "onnxruntime",
            replace(plain, facts=facts(environment=environment(governor={"policy0": "powersave"}))),
            SETTINGS,
        ),
    ]
    assert len({key.folder, *(other.folder for other in others)}) == 4


def artifact(tmp_path: Path, name: str, width: int) -> Artifact:
    path = tmp_path / f"{name}.onnx"
    write_layer(LayerShape("linear", width, width, (1,)), "onnx", path)
    return Artifact(path, "onnx", sha256_file(path), path.stat().st_size)


def test_a_race_gives_both_and_their_ratio(tmp_path: Path) -> None:
    board = Board(whole=lambda count: 1000.0 * count)
    full, pruned = artifact(tmp_path, "full", 20), artifact(tmp_path, "pruned", 10)
    found = race(full, pruned, "onnxruntime", bench(board), SETTINGS, 6)
    assert found.ratio == pytest.approx(0.25, rel=0.01)
    assert found.bounds is not None and found.bounds[0] <= 0.25 <= found.bounds[1] * 1.01
    assert found.full.median_ns == pytest.approx(400_000, rel=0.01)
    assert found.pruned.interval.low_ns <= found.pruned.median_ns <= found.pruned.interval.high_ns
    assert race(full, pruned, "onnxruntime", bench(board), SETTINGS, 2).bounds is None


def test_a_race_that_is_cut_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board()
    pair = board.pair
    monkeypatch.setattr(
        board,
        "pair",
        lambda job, files, errand: replace(
            pair(job, files, errand), launches=pair(job, files, errand).launches[:1]
        ),
    )
    one = artifact(tmp_path, "one", 8)
    with pytest.raises(AgentFault, match="1 of 6 launches"):
        race(one, one, "onnxruntime", bench(board), SETTINGS, 6)


WIDE = """
import torch
from torch import nn
from edgewright.workload import Training, Workload

def workload(training=None):
    torch.manual_seed(0)
    layers = [nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(64, 4))
    return Workload("wide", model, (torch.randn(1, 16),), training=training)

def trained():
    features = torch.randn(100, 16, generator=torch.Generator().manual_seed(1))
    labels = features[:, :4].argmax(1)
    data = torch.utils.data.TensorDataset(features, labels)
    return workload(Training(data, nn.functional.cross_entropy, epochs=2))
"""


def written(source: WorkloadSource, recipe: Recipe, *_: object, cache: Path, **__: object) -> Artifact:
    """The recipe's module straight as a file, in no time; its notes are the real ones."""
    workload = open_workload(source)
    job = ModelJob(copy.deepcopy(workload.model), workload)
    changed = Changed(job.module)
    for step in recipe.steps:
        changed = Prune().apply(job, step.options)
    layers = [layer for layer in changed.module.modules() if isinstance(layer, nn.Linear)]
    weights = [
        numpy_helper.from_array(np.zeros((layer.out_features, layer.in_features), np.float32), f"w{number}")
        for number, layer in enumerate(layers)
    ]
    path = cache / f"{uuid.uuid4().hex}.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(helper.make_graph([], "main", [], [], weights)), path)
    made = Provenance("wide", recipe.name, recipe.hash, "raspberry-pi-5", changed.notes)
    return Artifact(path, "onnx", sha256_file(path), path.stat().st_size, provenance=made)


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Request]:
    """Requests for a small workload, whose files are written without an exporter."""
    monkeypatch.setattr(to_latency, "build", written)
    (tmp_path / "wide.py").write_text(WIDE)

    def make(factory: str = "workload", **asked: Any) -> Request:
        source = WorkloadSource(tmp_path / "wide.py", factory)
        asked = {"round_to": 16, **asked}
        return Request(source, runtime="onnxruntime", cache=tmp_path / "cache", **asked)

    return make


def prune(board: Board, request: Request) -> Found:
    said: list[str] = []
    found = prune_to_latency(request, bench(board), SETTINGS, said.append)
    assert any("measuring on pi5" in line for line in said)
    return found


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_target_is_reached_and_the_recipe_makes_that_network(
    request_of: Callable[..., Request], share: float
) -> None:
    board = Board()
    found = prune(board, request_of(target=Target(share=share), name="half"))
    assert abs(found.error) <= to_latency.TOLERANCE
    assert found.race.ratio == pytest.approx(share, rel=0.06)
    assert found.recipe.name == "half" and "measured there" in found.recipe.description
    (step,) = found.recipe.steps
    assert {name for name, _ in step.options.layers} <= set(found.counts)
    assert found.importance == "l2"
    assert found.artifact.provenance is not None
    assert "not fine-tuned: workload has no training" in found.artifact.provenance.notes[0]
    left = {layer.name: layer.after for layer in found.layers}
    assert multiplications(found.artifact.path) == sum(a * b for a, b in left.values())


def test_the_layers_and_the_rest_add_up_to_the_latency(request_of: Callable[..., Request]) -> None:
    found = prune(Board(), request_of(target=Target(share=0.5)))
    rest_ns = found.rest_ns
    assert rest_ns is not None and rest_ns == pytest.approx(REST_NS + CALL_NS, rel=0.05)
    after = rest_ns + sum(layer.after_ns or 0 for layer in found.layers)
    before = rest_ns + sum(layer.before_ns or 0 for layer in found.layers)
    assert after == pytest.approx(found.race.pruned.median_ns, rel=0.02)
    assert before == pytest.approx(found.race.full.median_ns, rel=0.02)


def test_a_device_that_bends_is_corrected_by_measuring(request_of: Callable[..., Request]) -> None:
    """Whole models take the square root of what their layers would: the first budget is far off."""
    board = Board(whole=lambda count: 20_000.0 * count**0.5)
    found = prune(board, request_of(target=Target(share=0.6)))
    assert abs(found.error) <= to_latency.TOLERANCE
    assert 1 <= len(found.rounds) <= 5
    assert len(board.races) == len(found.rounds) + 2  # the ends, and the network as it is left


def test_of_several_ways_the_network_that_recovers_best_is_taken(request_of: Callable[..., Request]) -> None:
    board = Board()
    found = prune(board, request_of("trained", target=Target(share=0.5), round_to=4))
    first, *others = found.candidates
    assert others and found.counts == first.counts
    losses = [one.held_back_loss or 0.0 for one in found.candidates]
    assert losses == sorted(losses) and losses[0] > 0
    assert len({frozenset(one.counts.items()) for one in found.candidates}) == len(found.candidates)
    assert all(abs(one.error) <= to_latency.TOLERANCE for one in found.candidates)
    assert len(board.races) == len(found.rounds) + 2  # no network is measured twice on the way
    assert found.artifact.provenance is not None
    assert "fine-tuned: 2 epochs" in found.artifact.provenance.notes[0]


def test_one_way_alone_needs_no_judge(request_of: Callable[..., Request]) -> None:
    found = prune(Board(), request_of("trained", target=Target(share=0.5), ways=("even",)))
    (only,) = found.candidates
    assert (only.way, only.held_back_loss) == ("even", None)
    untold = prune(Board(), request_of(target=Target(share=0.5)))
    assert [one.way for one in untold.candidates] == ["importance"]


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        (
            Target(latency_ns=1e9),
            ConfigError,
            "nothing to prune: the model takes 0.9.* 1000 ms were asked for",
        ),
        (Target(latency_ns=1e3), UnsupportedError, "0.001 ms cannot be reached in onnxruntime: .* takes 0.1"),
    ],
)
def test_targets_out_of_reach_are_said_before_layers_are_timed(
    request_of: Callable[..., Request], target: Target, error: type[Exception], words: str
) -> None:
    board = Board()
    with pytest.raises(error, match=words):
        prune(board, request_of(target=target))
    assert board.jobs == [] and len(board.races) == 1


def test_channels_too_coarse_for_the_target_are_an_error(request_of: Callable[..., Request]) -> None:
    """On this device a model is fast or slow, and nothing between."""
    board = Board(whole=lambda count: 100_000.0 if count < 5000 else 300_000.0)
    with pytest.raises(UnsupportedError, match=r"within 5% of .* the nearest takes 0.3 .* channels go by 16"):
        prune(board, request_of(target=Target(share=0.7)))


def test_an_emulated_device_is_refused(request_of: Callable[..., Request]) -> None:
    emulated = replace(bench(Board()), facts=facts(emulation="its CPU is QEMU's"))
    with pytest.raises(UnsupportedError, match="emulated"):
        prune_to_latency(request_of(target=Target(share=0.5)), emulated, SETTINGS, print)
