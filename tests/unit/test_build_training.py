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


class Builds:
    """Builds of one workload, of which any can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []

    def made(self, cache: str, dies_in: str = "nowhere") -> str:
        def show(stage: str) -> None:
            self.told.append(stage)
            if dies_in in stage:
                raise Killed

        source = WorkloadSource.parse(f"{self.folder}/net.py:workload")
        profile, recipe = load_profile("x86-64-linux"), load_recipe("prune50")
        cached = self.folder / cache
        return build(source, recipe, profile.name, profile, "onnx", cache=cached, progress=show).sha256


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builds:
    """Every epoch is kept."""
    monkeypatch.setattr(checkpoint, "KEEP_EVERY_S", 0.0)
    (tmp_path / "net.py").write_text(WORKLOAD)
    return Builds(tmp_path)


def test_it_goes_on_where_it_was_killed(builds: Builds) -> None:
    whole = builds.made("whole")
    with pytest.raises(Killed):
        builds.made("killed", "epoch 4 of 6")
    assert list((builds.folder / "killed/checkpoints").iterdir())
    builds.told.clear()
    assert builds.made("killed") == whole
    trained = [stage for stage in builds.told if stage.startswith("fine-tuning")]
    assert trained[0].startswith("fine-tuning: epoch 4 of 6")
    assert not list((builds.folder / "killed/checkpoints").iterdir())


def test_what_was_killed_does_not_go_on_with_other_data(builds: Builds) -> None:
    with pytest.raises(Killed):
        builds.made("killed", "epoch 4 of 6")
    net = builds.folder / "net.py"
    net.write_text(WORKLOAD.replace("randint(0, 3", "randint(0, 2"))
    builds.told.clear()
    again = builds.made("killed")
    assert f"fine-tuning: from the beginning, {net} has changed" in builds.told
    assert again == builds.made("whole")


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
