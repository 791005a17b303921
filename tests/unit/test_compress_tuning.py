"""The training loop: it learns, is repeatable, goes on after a kill, and teaches."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests import nets
from torch import nn

from edgewright.compress import ModelJob, tuning
from edgewright.compress.distill import Distill, DistillOptions
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
    monkeypatch.setattr(tuning, "KEEP_EVERY_S", 0.0)
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


def test_a_checkpoint_of_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "KEEP_EVERY_S", 0.0)
    tune(replace(job(), checkpoints=tmp_path), nets.Dense(), Tuning())
    told: list[str] = []
    other = replace(job(nets.Dense(32).eval()), checkpoints=tmp_path, tell=told.append)
    tune(other, other.module, Tuning())
    assert told[0].startswith("fine-tuning: epoch 1 of 6")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    work = replace(job(), checkpoints=tmp_path)
    tune(work, work.module, Tuning())
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CompressionError, match=path.name):
        tune(replace(job(), checkpoints=tmp_path), nets.Dense(), Tuning())


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
