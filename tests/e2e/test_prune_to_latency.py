"""``edgewright prune`` on this machine: what it measures, keeps, writes and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.devices.quick_command import QuickCommand

from edgewright.farm import layer_times, race, to_latency
from edgewright.recipe import load_recipe

WORKLOAD = """
import torch
from torch import nn
from edgewright.workload import Evaluation, Training, Workload


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4),
    )


def score(outputs, labels):
    return float((outputs[0].argmax(1) == labels).mean())


def workload():
    images = torch.randn(16, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(16) % 4
    data = torch.utils.data.TensorDataset(images, labels)
    return Workload(
        "small", net(), (images[:1],),
        evaluate=Evaluation("accuracy", (images.numpy(),), lambda outs: score(outs, labels.numpy())),
        training=Training(data, nn.functional.cross_entropy, epochs=1, batch_size=8),
    )


def untrained():
    return Workload("untrained", net(), (torch.zeros(1, 3, 24, 24),))
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workload and a cache for all tests: what one built or timed, the next one finds."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "small.py").write_text(WORKLOAD)
    return folder


@pytest.fixture
def prune(quick: QuickCommand, shared: Path, monkeypatch: pytest.MonkeyPatch) -> QuickCommand:
    """Short measurements, and a tolerance no busy machine misses: how near it comes is not tested here."""
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(shared / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(shared / "torch"))
    monkeypatch.setattr(race, "_LAUNCH_NS", 30_000_000)
    for name, value in (("TOLERANCE", 0.9), ("GOOD", 0.0), ("_MOST_ROUNDS", 1), ("_LAST_LAUNCHES", 2)):
        monkeypatch.setattr(to_latency, name, value)
    brief = replace(layer_times._TURN, min_count=2, min_duration_ns=1_000_000, warmup_duration_ns=0)
    monkeypatch.setattr(layer_times, "_TURN", brief)
    return quick


@pytest.fixture
def small(shared: Path) -> str:
    return f"{shared / 'small.py'}:"


ASKED = ("--threads", "1", "--launches", "2", "--round-to", "32")


def test_a_recipe_comes_of_it(prune: QuickCommand, small: str, shared: Path) -> None:
    where = ("-o", "half.toml", "--json", "half.json")
    answer = prune("prune", f"{small}workload", "--to-latency", "50%", *ASKED, *where)
    assert answer.code == 0, answer
    found = json.loads((prune.folder / "half.json").read_text())
    assert found["schema"] == "edgewright.prune-to-latency/1" and found["importance"] == "taylor"
    assert {group["layer"]: group["channels"] for group in found["groups"]} == {"0": 64, "2": 64, "4": 64}
    assert any(group["left"] < group["channels"] for group in found["groups"])
    assert all(group["left"] in (32, 64) for group in found["groups"])
    assert found["layers_timed"] == found["layers_known"] > 8
    # Times taken so briefly may say that nothing lies between the ends; then one of these is the nearest.
    assert len(found["rounds"]) <= 1 and all(one["measured_ms"] > 0 for one in found["rounds"])
    assert found["before"]["median_ms"] > 0 < found["after"]["median_ms"]
    assert found["target_ms"] == pytest.approx(found["before"]["median_ms"] / 2)
    assert found["error"] == pytest.approx(found["ratio"] / 0.5 - 1)
    assert found["quality"]["metric"] == "accuracy"
    assert any("fine-tuned: 1 epoch" in note for note in found["notes"])
    assert [entry["reason"] for entry in found["kept"]] == ["the model's outputs are its channels"]
    for word in ("predicted", "before ", "after ", "target ", "recipe: half.toml"):
        assert word in answer.out
    assert len(list((shared / "cache/latency").iterdir())) == 1

    (step,) = load_recipe(prune.folder / "half.toml").steps
    assert step.options.fine_tune and dict(step.options.layers)
    built = prune(
        *("build", f"{small}workload", "--recipe", "half.toml", "--profile", "x86-64-linux"),
        *("--format", "onnx", "-o", "out"),
    )
    assert built.code == 0 and "fine-tuned: 1 epoch" in built.out


def test_without_training_it_says_so_and_layers_are_timed_once(prune: QuickCommand, small: str) -> None:
    """What the first search timed, the second one knows: the device is asked for few layers, if any."""
    for _ in range(2):
        answer = prune(
            "prune", f"{small}untrained", "--to-latency", "50%", *ASKED, "--json", "untrained.json"
        )
        assert answer.code == 0, answer
    assert "importance l2" in answer.out and "not fine-tuned: workload has no training" in answer.out
    found = json.loads((prune.folder / "untrained.json").read_text())
    assert found["layers_timed"] <= 4 < found["layers_known"] and found["quality"] is None


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--to-latency", "100s"), 2, "local: nothing to prune: the model takes"),
        (
            ("--to-latency", "1ns"),
            1,
            "local: 1e-06 ms cannot be reached in onnxruntime: with the fewest channels",
        ),
    ],
)
def test_targets_out_of_reach(
    prune: QuickCommand, small: str, words: tuple[str, ...], code: int, line: str
) -> None:
    answer = prune("prune", f"{small}untrained", *words, *ASKED, "-o", "out.toml")
    assert answer.code == code and f"error: {line}" in answer.err, answer
    assert answer.out == "" and not (prune.folder / "out.toml").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--to-latency", "fast"), "--to-latency"),
        (("--to-latency", "0ms"), "--to-latency"),
        (("--to-latency", "120%"), "--to-latency"),
        (("--to-latency", "4ms", "--runtime", "onnx"), "no runtime is called 'onnx'"),
        (("--to-latency", "4ms", "-o", "recipe.json"), "a recipe is a .toml file"),
        (("--to-latency", "4ms", "-o", "nowhere/recipe.toml"), "no such folder"),
        (("--to-latency", "4ms", "--device", "pi9"), "pi9"),
    ],
)
def test_bad_usage_is_one_line(prune: QuickCommand, small: str, words: tuple[str, ...], line: str) -> None:
    assert line in prune.refusal(2, "prune", f"{small}workload", *words)


def test_a_device_out_of_reach_ends_with_3(prune: QuickCommand, small: str, tmp_path: Path) -> None:
    farm = tmp_path / "away.toml"
    farm.write_text('[devices.away]\nprofile = "raspberry-pi-5"\naddress = "nobody@127.0.0.1"\nport = 9\n')
    line = prune.refusal(
        3, "prune", f"{small}workload", "--to-latency", "4ms", "--device", "away", "--farm", str(farm)
    )
    assert "away" in line
