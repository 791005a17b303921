"""Choosing a setting on this machine: the file built again byte for byte, fp32 as an answer, a kill."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests.devices.command_line import Edgewright, brief_main
from tests.devices.hosts import Running, until

from edgewright.artifact import sha256_file
from edgewright.farm.effort import Effort, load_effort
from edgewright.farm.inventory import load_inventory
from edgewright.report.study.page import render_page
from edgewright.store import Store, Studies
from edgewright.tune import Bounds, Means, Question, SpaceFile, tune
from edgewright.tune.answer import study_document
from edgewright.tune.output import write_folder
from edgewright.tune.question import tried_from

ROOT = Path(__file__).resolve().parents[2]
DIGITS = f"{ROOT / 'examples/digits.py'}:workload"
ONE = SpaceFile(
    prune=(0.0,),
    low_rank=(0.0,),
    quantize=("none",),
    keep_floats=(0,),
    distill=("none",),
    runtimes=("onnxruntime",),
    threads=(1,),
)
SMALL_NET = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from edgewright.workload import Evaluation, Training, Workload


def workload():
    torch.manual_seed(0)
    x = torch.randn(400, 32)
    y = (x[:, :4].sum(1) > 0).long()
    model = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    labels = y.numpy()
    return Workload(
        "small",
        model.eval(),
        (x[:1],),
        calibration=[(row[None],) for row in x[:50]],
        evaluate=Evaluation("accuracy", (x.numpy(),), lambda o: float((o[0].argmax(1) == labels).mean())),
        training=Training(TensorDataset(x, y), nn.functional.cross_entropy, epochs=2),
    )
"""
SPACE = """
prune = [0.0, 0.5]
low_rank = [0.0]
quantize = ["none", "int8-dynamic"]
keep_floats = [0]
distill = ["none"]
runtimes = ["onnxruntime"]
threads = [1]
"""


def short(name: str) -> Effort:
    """Enough to see that it works."""
    return replace(load_effort(name), launches=2, min_duration_s=0.4, idle_s=0.05, energy_s=0.1, repeats=0)


@pytest.mark.long
def test_the_chosen_file_is_built_again_byte_for_byte(own_home: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    question = Question(
        DIGITS,
        ("local",),
        bounds=Bounds(max_size_mb=0.06, max_accuracy_drop=0.2),
        trials=4,
        space=replace(ONE, prune=(0.0, 0.5), quantize=("none", "int8-minmax")),
    )
    with Store.open(tmp_path / "store.sqlite") as store:
        answer = tune(question, Means(store, load_inventory(None), cache, efforts=short))
        best = answer.device("local").choice.best
        assert best is not None and best.setting.recipe_name == "prune50-int8-minmax"
        document = study_document(answer)
        write_folder(answer, document, tmp_path / "out")
        assert len(render_page(document)) > 5000
        again = tune(question, Means(store, load_inventory(None), cache, efforts=short), fresh=True)
        reused = again.device("local").tried
        assert all(one.row is None or one.row.run_id == answer.study_id for one in reused)
    edgewright = Edgewright(tmp_path)
    words = ("--recipe", "out/recipe.toml", "--profile", answer.device("local").profile)
    built = edgewright(
        "build", DIGITS, *words, "--format", "onnx", "-o", "built", "--cache", str(tmp_path / "other")
    )
    assert built.code == 0, built.err
    (path,) = (tmp_path / "built").glob("*.onnx")
    assert sha256_file(path) == best.built.sha256


def test_where_compressing_only_slows_down_the_answer_is_the_model_as_it_is(
    own_home: Path, tmp_path: Path
) -> None:
    question = Question(
        DIGITS,
        ("local",),
        trials=2,
        space=replace(ONE, quantize=("none", "int8-dynamic")),
        final_preset="rapid",
    )
    with Store.open(tmp_path / "store.sqlite") as store:
        answer = tune(question, Means(store, load_inventory(None), tmp_path / "cache", efforts=short))
    choice = answer.device("local").choice
    assert choice.best is not None and choice.best.setting.is_plain
    assert "as it is, uncompressed" in choice.sentence
    (tried,) = (one for one in answer.device("local").tried if one.setting.quantize == "int8-dynamic")
    assert tried.state in ("measured", "stopped")  # dynamic convolutions are slower on x86


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_and_gone_on_with_by_the_same_command(own_home: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(SMALL_NET, encoding="utf-8")
    (tmp_path / "space.toml").write_text(SPACE, encoding="utf-8")
    words = ["tune", "net.py:workload", "--space", "space.toml", "--trials", "3", "--final-preset", "rapid"]
    words += ["--store", "store.sqlite", "-o", "out", "--cache", "cache"]
    program = brief_main(0.4)
    running = Running([sys.executable, "-c", program, *words], tmp_path, dict(os.environ))
    until(lambda: "[1]" in running.err or running.process.poll() is not None, "the first figure", 240)
    assert running.process.poll() is None, running.err
    running.kill()
    with Store.open(tmp_path / "store.sqlite") as store:
        before = [tried_from(one) for one in Studies(store).trials(Studies(store).get().run.run_id)]
    assert len([one for one in before if one.state != "begun"]) >= 1
    done = Edgewright(tmp_path, timeout_s=500, program=program)(*words)
    assert done.code == 0, done.err
    assert "going on with study" in done.err
    data = json.loads((tmp_path / "out/study.json").read_text())
    assert data["study"]["finished_at"] and len(data["attempts"]) == 3
    with Store.open(tmp_path / "store.sqlite") as store:
        studies = Studies(store)
        study = studies.get().run.run_id
        after = [tried_from(one) for one in studies.trials(study)]
        assert len({one.setting for one in after}) == 3
        assert [one for one in before if one.state != "begun"] == [
            replace(one, final=None) for one in after[: len([b for b in before if b.state != "begun"])]
        ]
        rows = [(row.cell.recipe, row.preset) for row in store.run(study).rows]
    finals = sum(one.final is not None for one in after)
    assert len(rows) == sum(one.row is not None for one in after) + finals
    assert max(Counter(recipe for recipe, _ in rows).values()) <= 2  # on the way, and as a finalist
    printed = Edgewright(tmp_path)("tune", "--resume", study[:12], "--store", "store.sqlite")
    assert printed.code == 0 and data["devices"][0]["sentence"] in printed.out


@pytest.mark.long
def test_what_a_killed_build_left_goes_with_the_next(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(SMALL_NET, encoding="utf-8")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    words = ["build", "net.py:workload", "--recipe", "int8-static", "--profile", "x86-64-linux"]
    words += ["--format", "onnx", "--cache", "cache", "-o", "out"]
    program = [sys.executable, "-c", "from edgewright.cli.main import main; main()"]
    running = Running([*program, *words], tmp_path, dict(os.environ))
    until(lambda: list(temporary.glob("edgewright-*")) or running.process.poll() is not None, "a build", 120)
    running.kill()
    assert list(temporary.glob("edgewright-*"))
    done = Edgewright(tmp_path)(*words)
    assert done.code == 0, done.err
    assert not list(temporary.glob("edgewright-*"))
