"""The training loop: it learns, is repeatable, goes on after a kill, and teaches."""

from __future__ import annotations

import copy
import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import nets
from torch import nn

from edgewright.compress import ModelJob, checkpoint
from edgewright.compress.distill import Distill, DistillOptions
from edgewright.compress.distillation import Response
from edgewright.compress.sparsify import Sparsify, SparsifyOptions
from edgewright.compress.tuning import Tuning, tune
from edgewright.errors import CompressionError
from edgewright.workload import Training, Workload

TRAINING = nets.training((8,), 4, epochs=6, count=256)


def job(module: nn.Module | None = None, **changes: object) -> ModelJob:
    made = module or nets.Dense().eval()
    workload = Workload("net", copy.deepcopy(made), (nets.features(),), training=TRAINING)
    return ModelJob(made, replace(workload, **changes))  # type: ignore[arg-type]


def loss(module: nn.Module) -> float:
    samples, labels = TRAINING.data.tensors
    with torch.no_grad():
        return float(nn.functional.cross_entropy(module.eval()(samples), labels))


def test_it_learns_and_says_how_far_it_is() -> None:
    told: list[str] = []
    work = replace(job(), tell=told.append)
    before = loss(work.module)
    assert tune(work, work.module, Tuning()) == "6 epochs"
    assert loss(work.module) < 0.7 * before
    assert told[-1].startswith("fine-tuning: epoch 6 of 6, loss 0.") or told[-1].startswith(
        "fine-tuning: epoch 6 of 6, loss 1."
    )
    assert not work.module.training


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two = job(), job()
    for work in (one, two):
        torch.manual_seed(hash(id(work)) % 1000)
        tune(work, work.module, Tuning())
    assert all(
        torch.equal(a, b) for a, b in zip(one.module.parameters(), two.module.parameters(), strict=True)
    )


class Killed(Exception):
    """As by a signal."""


def test_it_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "KEEP_EVERY_S", 0.0)
    whole = job()
    tune(whole, whole.module, Tuning())
    epochs: list[str] = []

    def die_in_the_fourth(said: str) -> None:
        epochs.append(said.split(",")[0])
        if "epoch 4 " in said:
            raise Killed

    first = replace(job(), checkpoints=tmp_path, tell=die_in_the_fourth)
    with pytest.raises(Killed):
        tune(first, first.module, Tuning())
    epochs.clear()
    second = replace(job(), checkpoints=tmp_path, tell=lambda said: epochs.append(said.split(",")[0]))
    tune(second, second.module, Tuning())
    assert epochs[0] == "fine-tuning: epoch 4 of 6"
    for a, b in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)


class Dropping(nn.Module):
    """Draws from torch's generator while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Dropout(0.3), nn.Linear(48, 4))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(features)
        return scores


class Noisy(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Samples that are drawn with numpy and with Python."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = np.random.randn(8).astype("float32") * random.gauss(1.0, 0.1)
        samples, labels = TRAINING.data.tensors
        return samples[index] + torch.from_numpy(noise), labels[index]


@pytest.mark.parametrize("mode", ["offline", "online", "self"])
@pytest.mark.parametrize("kind", ["response", "feature", "relation"])
def test_what_went_on_is_what_was_never_killed(
    kind: Any, mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, noise in the data, a teacher's adapters, and a peer that learns along."""
    monkeypatch.setattr(checkpoint, "KEEP_EVERY_S", 0.0)
    options = DistillOptions(kind=kind, mode=mode, tuning=Tuning(epochs=3))

    def distilled(dies_in: str = "nowhere", folder: Path | None = None) -> nn.Module:
        def tell(said: str) -> None:
            if dies_in in said:
                raise Killed

        random.seed(1)
        np.random.seed(1)
        work = job(Dropping().eval(), training=replace(TRAINING, data=Noisy()))
        return Distill().apply(replace(work, checkpoints=folder, tell=tell), options).module

    whole = distilled()
    with pytest.raises(Killed):
        distilled("epoch 3 of 3", tmp_path)
    assert list(tmp_path.iterdir())
    again = distilled(folder=tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("changed", ["weights", "rate", "batch"])
def test_a_checkpoint_serves_its_own_training_only(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "KEEP_EVERY_S", 0.0)
    tune(replace(job(), checkpoints=tmp_path), nets.Dense(), Tuning())
    told: list[str] = []
    training = replace(
        TRAINING,
        learning_rate=1e-9 if changed == "rate" else TRAINING.learning_rate,
        batch_size=7 if changed == "batch" else TRAINING.batch_size,
    )
    module = nets.Dense()
    if changed == "weights":
        with torch.no_grad():
            module.layers[0].weight.mul_(1.0001)  # type: ignore[operator]
    work = replace(job(training=training), checkpoints=tmp_path, tell=told.append)
    tune(work, module, Tuning())
    assert told[0].startswith("fine-tuning: epoch 1 of 6")


def test_a_checkpoint_of_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "KEEP_EVERY_S", 0.0)
    tune(replace(job(), checkpoints=tmp_path), nets.Dense(), Tuning())
    told: list[str] = []
    other = replace(job(nets.Dense(32).eval()), checkpoints=tmp_path, tell=told.append)
    tune(other, other.module, Tuning())
    assert told[0].startswith("fine-tuning: epoch 1 of 6")


def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path) -> None:
    whole = replace(job(), checkpoints=tmp_path)
    tune(whole, whole.module, Tuning())
    (path,) = tmp_path.iterdir()
    for damage in (b"", b"not a checkpoint", path.read_bytes()[:1000]):
        path.write_bytes(damage)
        told: list[str] = []
        again = replace(job(), checkpoints=tmp_path, tell=told.append)
        tune(again, again.module, Tuning())
        assert told[0] == f"fine-tuning: from the beginning, the checkpoint {path} is damaged"
        assert loss(again.module) == loss(whole.module)


def test_a_checkpoint_without_room_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(state: object, path: Path) -> None:
        path.write_bytes(b"the beginning")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 174080 vs 173968")

    monkeypatch.setattr(torch, "save", full)
    work = replace(job(), checkpoints=tmp_path)
    with pytest.raises(CompressionError, match=r"cannot be written, [\d.]+ MB are free there \(make room"):
        tune(work, work.module, Tuning(epochs=1))
    assert list(tmp_path.iterdir()) == []


def test_batches_of_one_train() -> None:
    """What is left over is passed by, not what was asked for."""
    seen: list[int] = []

    def counted(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(len(labels))
        return nn.functional.cross_entropy(scores, labels)

    data = torch.utils.data.Subset(TRAINING.data, range(17))
    for size, expected in ((1, [1] * 17), (8, [8, 8]), (17, [17]), (64, [17])):
        seen.clear()
        work = job(training=Training(data, counted, epochs=1, batch_size=size))
        assert tune(work, work.module, Tuning()) == "1 epoch"
        assert seen == expected


def test_a_loss_that_is_no_number_ends_it() -> None:
    bad = replace(TRAINING, loss=lambda scores, labels: scores.sum() * float("nan"))
    with pytest.raises(CompressionError, match="the loss is nan in epoch 1"):
        tune(job(training=bad), nets.Dense(), Tuning())


def test_the_workload_s_own_error_is_named() -> None:
    def fail(scores: object, labels: object) -> torch.Tensor:
        raise KeyError("label")

    with pytest.raises(CompressionError, match=r"the workload's loss.*KeyError"):
        tune(job(training=replace(TRAINING, loss=fail)), nets.Dense(), Tuning())


def test_without_training_it_says_what_is_missing() -> None:
    with pytest.raises(CompressionError, match="needs the workload's training"):
        tune(job(training=None), nets.Dense(), Tuning())


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(CompressionError, match="nothing in the model can be trained"):
        tune(job(nets.NoWeights()), nets.NoWeights(), Tuning())


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    made = job(nets.Dense(128))
    tune(made, made.module, Tuning(epochs=60, learning_rate=5e-3))
    return made.module


@pytest.mark.parametrize("kind", ["response", "feature", "relation"])
def test_a_teacher_is_approached(kind: str, teacher: nn.Module) -> None:
    """A student that hears its teacher alone comes nearer to it, without any label."""
    samples, _ = TRAINING.data.tensors
    unlabelled = Training(
        torch.utils.data.TensorDataset(samples, torch.zeros(len(samples), dtype=torch.long)),
        lambda scores, labels: scores.sum() * 0.0,
        epochs=30,
        learning_rate=5e-3,
    )
    student = nets.Dense(32).eval()
    work = ModelJob(student, replace(job().workload, model=teacher, training=unlabelled))
    options = DistillOptions(kind=kind, weight=0.99)  # type: ignore[arg-type]
    taught = Distill().apply(replace(work, module=copy.deepcopy(student)), options)

    def alike(module: nn.Module) -> float:
        with torch.no_grad():
            ours, theirs = module.eval()(samples), teacher(samples)
            distances = [torch.cdist(x, x).flatten() for x in (ours, theirs)]
            pair = (ours.flatten(), theirs.flatten()) if kind == "response" else tuple(distances)
            return float(torch.corrcoef(torch.stack(pair))[0, 1])

    assert alike(taught.module) > alike(student) + 0.1
    assert taught.notes == (f"the model taught by {kind}, offline: 30 epochs",)


@pytest.mark.parametrize("mode", ["online", "self"])
def test_there_are_other_teachers(mode: str) -> None:
    work = job()
    before = loss(work.module)
    changed = Distill().apply(work, DistillOptions(mode=mode))  # type: ignore[arg-type]
    assert loss(changed.module) < 0.8 * before


def test_fine_tuning_can_be_taught(teacher: nn.Module) -> None:
    work = job(nets.Dense(32).eval())
    work = replace(work, workload=replace(work.workload, model=teacher))
    plain, taught = copy.deepcopy(work.module), copy.deepcopy(work.module)
    tune(work, plain, Tuning())
    tune(work, taught, Tuning(distillation="response"))
    assert any(not torch.equal(a, b) for a, b in zip(plain.parameters(), taught.parameters(), strict=True))


def test_two_teachers_leave_the_task_its_share() -> None:
    """Each takes its part of what there is without it: the task's own share is never below nothing."""
    given: list[torch.Tensor] = []
    heard: Any = given.append

    def recorded(scores: Any, labels: torch.Tensor) -> torch.Tensor:
        scores.register_hook(heard)
        loss: torch.Tensor = (scores * torch.eye(4)[labels]).mean()
        return loss

    work = job(training=replace(TRAINING, loss=recorded, epochs=1, batch_size=256))
    tuning = Tuning(distillation="response", teacher_weight=0.9)
    changed = Distill().apply(work, DistillOptions(weight=0.9, tuning=tuning))
    assert "the model as it came teaching by response" in changed.notes[0]
    # The student begins as its teachers are, which pull it nowhere: all there is comes of the task.
    assert given[0].max() == pytest.approx(0.1 * 0.1 / (256 * 4), rel=1e-3)


@pytest.mark.parametrize("turn", [False, True])
def test_classes_are_found_where_the_targets_have_none(turn: bool) -> None:
    """``[n, classes, time]`` as torch has it, and ``[n, time, classes]`` as models of language have it."""
    torch.manual_seed(0)
    ours, theirs = torch.randn(3, 5, 7), torch.randn(3, 5, 7)
    response = Response(nn.Identity(), 1.0, 0.5)
    want = (theirs.softmax(1) * (theirs.log_softmax(1) - ours.log_softmax(1))).sum() / 3
    turned = [one.transpose(1, 2) if turn else one for one in (ours, theirs)]
    got = response.between(turned[0], turned[1], torch.zeros(3, 7, dtype=torch.long))
    assert float(got) == pytest.approx(float(want), rel=1e-5)


def test_a_weight_of_nothing_is_a_student_alone() -> None:
    """Its loss is the task's: what the teacher is does not matter."""
    made = []
    for teacher in (nets.Dense(32), nets.Dense(128)):
        work = job(nets.Dense(16).eval())
        work = replace(work, workload=replace(work.workload, model=teacher))
        made.append(Distill().apply(work, DistillOptions(weight=0.0)))
    assert made[0].notes == ("the model without a teacher: 6 epochs",)
    pairs = zip(*(one.module.parameters() for one in made), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_another_seed_gives_other_weights() -> None:
    one, two = job(), job()
    tune(one, one.module, Tuning(seed=1))
    tune(two, two.module, Tuning(seed=2))
    pairs = zip(one.module.parameters(), two.module.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_a_peer_hands_over_what_was_asked_for() -> None:
    taught = [
        Distill().apply(job(Dropping().eval()), DistillOptions(kind=kind, mode="online")).module
        for kind in ("response", "feature", "relation")
    ]
    for one, other in itertools.combinations(taught, 2):
        assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_what_a_step_has_set_to_zero_stays_so() -> None:
    work = job(nets.Dense(64).eval())
    sparse = Sparsify().apply(work, SparsifyOptions(amount=0.7, scope="local")).module
    zero = [layer.weight == 0 for layer in sparse.modules() if isinstance(layer, nn.Linear)]
    moved = Distill().apply(replace(work, module=copy.deepcopy(sparse)), DistillOptions()).module
    layers = [layer.weight for layer in moved.modules() if isinstance(layer, nn.Linear)]
    assert all(torch.equal(weight == 0, mask) for weight, mask in zip(layers, zero, strict=True))
    before = next(sparse.parameters())
    assert not torch.equal(before, layers[0])


def test_a_student_for_images_cannot_take_two_inputs() -> None:
    inputs = (nets.features(), nets.features())
    work = ModelJob(nets.Dense(), Workload("net", nets.Dense(), inputs, training=TRAINING))
    with pytest.raises(CompressionError, match="squeezenet takes one input, the model has 2"):
        Distill().apply(work, DistillOptions(student="squeezenet"))


def test_of_several_outputs_the_first_is_taught() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.other = nets.Dense(16), nn.Linear(8, 1)

        def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.net(features), self.other(features)

    training = replace(TRAINING, loss=lambda scores, labels: nn.functional.cross_entropy(scores[0], labels))
    changed = Distill().apply(job(Two().eval(), training=training), DistillOptions())
    assert changed.notes[1:] == ("of its 2 outputs the first was taught",)
