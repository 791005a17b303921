"""A build that was killed in its training goes on with it, and leaves no checkpoint when it is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.build import build
from edgewright.compress import checkpoint
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.workloads import WorkloadSource

WORKLOAD = """
import torch
from torch import nn
from edgewright.workload import Training, Workload

def workload():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    data = torch.utils.data.TensorDataset(torch.randn(64, 8), torch.randint(0, 3, (64,)))
    training = Training(data, nn.functional.cross_entropy, epochs=6, batch_size=16)
    return Workload("small", model.eval(), (torch.zeros(1, 8),), training=training)
"""


class Killed(Exception):
    """As by a signal."""


def test_it_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "KEEP_EVERY_S", 0.0)
    (tmp_path / "net.py").write_text(WORKLOAD)
    profile = load_profile("x86-64-linux")
    told: list[str] = []

    def made(cache: str, dies_in: str = "nowhere") -> str:
        def show(stage: str) -> None:
            told.append(stage)
            if dies_in in stage:
                raise Killed

        source = WorkloadSource.parse(f"{tmp_path}/net.py:workload")
        recipe = load_recipe("prune50")
        return build(
            source, recipe, profile.name, profile, "onnx", cache=tmp_path / cache, progress=show
        ).sha256

    whole = made("whole")
    with pytest.raises(Killed):
        made("killed", "epoch 4 of 6")
    assert list((tmp_path / "killed/checkpoints").iterdir())
    told.clear()
    assert made("killed") == whole
    trained = [stage for stage in told if stage.startswith("fine-tuning")]
    assert trained[0].startswith("fine-tuning: epoch 4 of 6")
    assert not list((tmp_path / "killed/checkpoints").iterdir())


def test_what_was_killed_does_not_go_on_with_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "KEEP_EVERY_S", 0.0)
    profile, recipe = load_profile("x86-64-linux"), load_recipe("prune50")
    told: list[str] = []

    def made(cache: str, dies_in: str = "nowhere") -> str:
        def show(stage: str) -> None:
            told.append(stage)
            if dies_in in stage:
                raise Killed

        source = WorkloadSource.parse(f"{tmp_path}/net.py:workload")
        return build(
            source, recipe, profile.name, profile, "onnx", cache=tmp_path / cache, progress=show
        ).sha256

    (tmp_path / "net.py").write_text(WORKLOAD)
    with pytest.raises(Killed):
        made("killed", "epoch 4 of 6")
    (tmp_path / "net.py").write_text(WORKLOAD.replace("randint(0, 3", "randint(0, 2"))
    told.clear()
    again = made("killed")
    assert f"fine-tuning: from the beginning, {tmp_path}/net.py has changed" in told
    assert again == made("whole")


def test_a_module_is_trained_once_for_both_formats(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(WORKLOAD)
    profile, recipe = load_profile("x86-64-linux"), load_recipe("prune50")
    source = WorkloadSource.parse(f"{tmp_path}/net.py:workload")
    trained, notes = [], []
    for kind in ("onnx", "tflite"):
        told: list[str] = []
        artifact = build(
            source, recipe, profile.name, profile, kind, cache=tmp_path / "cache", progress=told.append
        )
        trained.append(any(stage.startswith("fine-tuning") for stage in told))
        notes.append(artifact.provenance.notes if artifact.provenance else ())
    assert trained == [True, False]
    assert notes[0][0] == notes[1][0]
