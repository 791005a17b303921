"""Each layer compressed alone: the one made fragile comes first, in the table, the JSON and the plot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgewright.artifact import Artifact
from edgewright.build import build
from edgewright.build.sensitivity import sensitivity
from edgewright.cli.main import main
from edgewright.errors import ConfigError, QualityError
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.workloads import WorkloadSource

WORKLOAD = """
import numpy as np
import torch
from torch import nn
from edgewright.workload import Evaluation, Workload

def workload():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    with torch.no_grad():
        model[2].weight[:4] *= 200  # a few channels far larger than the others
        model[2].weight[4:] *= 0.5
    inputs = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    with torch.no_grad():
        wanted = model(torch.from_numpy(inputs)).numpy()
    return Workload(
        "fragile",
        model.eval(),
        (torch.zeros(1, 8),),
        calibration=[(torch.from_numpy(row[None]),) for row in inputs],
        evaluate=Evaluation(
            "agreement",
            (inputs,),
            lambda out: 1 - float(np.linalg.norm(out[0] - wanted) / np.linalg.norm(wanted)),
        ),
    )
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workload and a cache, which the tests share."""
    made = tmp_path_factory.mktemp("sensitivity")
    (made / "net.py").write_text(WORKLOAD)
    return made


@pytest.fixture(scope="module")
def source(folder: Path) -> str:
    return f"{folder}/net.py:workload"


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["edgewright", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("technique", ["quantize", "prune", "sparsify", "factorize"])
def test_every_layer_has_a_figure_or_a_reason(
    technique: str,
    source: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--technique", technique, "--cache", str(folder / "cache"))
    files = ("--json", str(tmp_path / "s.json"), "--html", str(tmp_path / "s.html"))
    assert run(monkeypatch, "sensitivity", source, *words, *files) == 0
    found = json.loads((tmp_path / "s.json").read_text())
    assert (found["technique"], found["metric"]) == (technique, "agreement")
    assert found["baseline"] == pytest.approx(1.0, abs=1e-5)
    assert len(found["layers"]) == 3
    figures = [layer["sqnr_db"] for layer in found["layers"] if layer["sqnr_db"] is not None]
    assert figures == sorted(figures)
    for layer in found["layers"]:
        assert layer["sqnr_db"] is not None or layer["reason"] or layer["unchanged"]
    assert "uncompressed: agreement 1.0000" in capsys.readouterr().out
    page = (tmp_path / "s.html").read_text()
    assert "<html" in page and "https://cdn" not in page.split("</script>")[-1]


def test_pruning_the_outputs_is_refused_with_the_reason(source: str, tmp_path: Path) -> None:
    said: list[str] = []
    device = load_profile("x86-64-linux")
    found = sensitivity(WorkloadSource.parse(source), "prune", device, cache=tmp_path, progress=said.append)
    assert said == ["prune 0", "prune 2", "prune 4"]
    assert [effect.layer for effect in found.effects if effect.reason] == ["4"]


@pytest.mark.parametrize("technique", ["quantize", "sparsify"])
@pytest.mark.parametrize(
    ("score", "said"),
    [("'good'", "score: ValueError: could not convert string"), ("np.nan", "score is nan, not a number")],
)
def test_a_score_that_is_no_number_is_an_error(
    technique: str,
    score: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin, end = WORKLOAD.index("lambda out:"), WORKLOAD.index(",\n        ),\n    )")
    (tmp_path / "net.py").write_text(f"{WORKLOAD[:begin]}lambda out: {score}{WORKLOAD[end:]}")
    words = ("--technique", technique, "--cache", str(tmp_path / "cache"))
    assert run(monkeypatch, "sensitivity", f"{tmp_path}/net.py:workload", *words) == 2
    assert f"net.py:workload: {said}" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("technique", ["quantize", "sparsify"])
def test_a_layer_without_a_score_has_the_reason(technique: str, tmp_path: Path) -> None:
    begin = "1 - float(np.linalg.norm(out[0] - wanted)"
    code = WORKLOAD.replace(begin, f"np.nan if np.abs(out[0] - wanted).max() > 1e-3 else {begin}")
    assert code != WORKLOAD
    (tmp_path / "net.py").write_text(code)
    found = sensitivity(
        WorkloadSource.parse(f"{tmp_path}/net.py:workload"),
        technique,
        load_profile("x86-64-linux"),
        cache=tmp_path / "cache",
        progress=lambda _: None,
    )
    assert found.baseline == pytest.approx(1.0, abs=1e-5)
    assert all(effect.reason.endswith("score is nan, not a number") for effect in found.effects)
    assert len(found.effects) == 3


def test_a_technique_that_has_no_layers_is_refused(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "sensitivity", source, "--technique", "quantise") == 2
    assert "did you mean 'quantize'" in capsys.readouterr().err


RECIPE = """
description = "8 bits, within a limit"
max_accuracy_drop = {limit}

[tolerance]
cosine = 0.0
max_abs = 1e9

[[steps]]
technique = "quantize"
per_channel = false
"""


def built(source: str, folder: Path, limit: float, format: str = "onnx", *, cosine: float = 0.0) -> Artifact:
    path = folder / "limited.toml"
    text = RECIPE.format(limit=limit)
    if cosine:
        text = text.replace("cosine = 0.0", f"cosine = {cosine}").replace("1e9", "0.0")
    path.write_text(text)
    profile = load_profile("x86-64-linux")
    return build(
        WorkloadSource.parse(source), load_recipe(path), profile.name, profile, format, cache=folder / "cache"
    )


@pytest.mark.parametrize(("format", "limit"), [("onnx", 0.012), ("tflite", 0.01)])
def test_nodes_that_break_the_limit_stay_in_floats(
    format: str, limit: float, source: str, folder: Path
) -> None:
    loose, tight = built(source, folder, 1.0, format), built(source, folder, limit, format)
    assert loose.quality and tight.quality and loose.provenance and tight.provenance
    assert loose.quality.value < 1 - limit <= tight.quality.value + 1e-6
    assert not any("in floats" in note for note in loose.provenance.notes)
    assert "of 3 nodes stay in floats" in tight.provenance.notes[-1]
    assert tight.sha256 != loose.sha256


def test_a_file_too_far_from_torch_is_one_that_does_not_hold(source: str, folder: Path) -> None:
    """What a recipe tolerates may be tighter than what it may lose: nodes stay in floats for that as well."""
    loose = built(source, folder, 1.0)
    assert loose.parity
    cosine = 1 - (1 - loose.parity.cosine) / 2
    made = built(source, folder, 1.0, cosine=cosine)
    assert made.parity and made.parity.cosine >= cosine
    assert made.provenance and "of 3 nodes stay in floats" in made.provenance.notes[-1]
    with pytest.raises(QualityError, match=r"is not what torch computes.*; with all but one of 3 nodes"):
        built(source, folder, 1.0, cosine=1.0)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_weights_of_4_bits_become_weights_of_8(kind: str, source: str, folder: Path) -> None:
    begin, _, _ = RECIPE.partition("technique")
    profile, path = load_profile("x86-64-linux"), folder / f"weights-{kind}.toml"

    def made(limit: float) -> Artifact:
        step = 'technique = "quantize-weights"\nbits = 4\nfewest = 2\n'
        path.write_text(begin.format(limit=limit) + step)
        workload, recipe = WorkloadSource.parse(source), load_recipe(path)
        return build(workload, recipe, profile.name, profile, kind, cache=folder / "cache")

    in_4 = made(1.0)
    assert in_4.quality
    limit = (1 - in_4.quality.value) / 2
    in_8 = made(limit)
    assert in_8.quality and in_8.quality.value >= 1 - limit and in_8.provenance
    assert in_8.provenance.notes[-1] == "weights in 8 bits in place of 4, to keep to the accuracy"
    with pytest.raises(QualityError, match="single nodes in floats, and 8 bits are not enough"):
        made(0.0)


def test_a_limit_that_cannot_be_kept_says_why(source: str, folder: Path) -> None:
    with pytest.raises(QualityError, match=r"limited loses .*, 0 is allowed: with all but one of 3 nodes"):
        built(source, folder, 0.0)


def test_a_limit_is_kept_among_the_nodes_that_the_step_quantizes(source: str, folder: Path) -> None:
    workload, profile, cache = WorkloadSource.parse(source), load_profile("x86-64-linux"), folder / "cache"
    nodes = sensitivity(workload, "quantize", profile, cache=cache, progress=lambda _: None).effects
    path = folder / "two.toml"
    path.write_text(f"{RECIPE.format(limit=0.0)}only = {json.dumps([node.layer for node in nodes[:2]])}\n")
    with pytest.raises(QualityError, match="with all but one of 2 nodes in floats"):
        build(workload, load_recipe(path), profile.name, profile, "onnx", cache=cache)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_nodes_of_either_format(kind: str, source: str, folder: Path) -> None:
    workload, profile, cache = WorkloadSource.parse(source), load_profile("x86-64-linux"), folder / "cache"
    found = sensitivity(workload, "quantize", profile, cache=cache, progress=lambda _: None, format=kind)
    assert sorted(effect.weights for effect in found.effects) == [96, 256, 1024]
    path = folder / f"one-{kind}.toml"
    path.write_text(f"{RECIPE.format(limit=1.0)}only = {json.dumps([found.effects[-1].layer])}\n")
    build(workload, load_recipe(path), profile.name, profile, kind, cache=cache)


def test_a_limit_needs_a_judge(tmp_path: Path) -> None:
    begin, rest = WORKLOAD.split("        evaluate=")
    (tmp_path / "net.py").write_text(begin + "    )\n")
    assert rest
    with pytest.raises(ConfigError, match="max_accuracy_drop needs a workload that can be judged"):
        built(f"{tmp_path}/net.py:workload", tmp_path, 0.0)


def test_every_kind_of_layer_takes_part(tmp_path: Path) -> None:
    code = """
import torch
from torch import nn
from edgewright.workload import Workload

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.ConvTranspose1d(2, 16, 3)
        self.recurrent = nn.LSTM(16, 8, batch_first=True)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.classify = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))

    def forward(self, x):
        x = self.recurrent(self.up(x).transpose(1, 2))[0]
        return self.classify(self.attend(x, x, x)[0][:, -1])

def workload():
    return Workload("mixed", Mixed().eval(), (torch.randn(1, 2, 9),))
"""
    (tmp_path / "mixed.py").write_text(code)
    found = sensitivity(
        WorkloadSource.parse(f"{tmp_path}/mixed.py:workload"),
        "sparsify",
        load_profile("x86-64-linux"),
        cache=tmp_path / "cache",
        progress=lambda _: None,
    )
    seen = {effect.layer: (effect.weights, effect.sqnr_db is not None) for effect in found.effects}
    assert seen == {
        "up": (96, True),
        "recurrent": (4 * 8 * (16 + 8), True),
        "attend": (192, True),
        "attend.out_proj": (64, True),
        "classify": (24, False),
    }
    assert "computed anew" in next(effect.reason for effect in found.effects if effect.layer == "classify")
