"""A workload's training: what it reads counts, and what it gives is held to its form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.plain_runner import plain_run

from edgewright.artifact import Artifact
from edgewright.build import build, session
from edgewright.errors import ConfigError, EdgewrightError
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.workloads import WorkloadSource, load_workload

WORKLOAD = """
import numpy as np
import torch
from pathlib import Path
from edgewright.workload import Training, Workload

HERE = Path(__file__).parent

class Late(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, number):
        import helper
        print("read")
        labels = np.load(HERE / "labels.npy")
        return torch.ones(4) * number, helper.label(labels[number])

def loss(scores, labels):
    weight = torch.tensor(np.loadtxt(HERE / "weights.txt"), dtype=torch.float32)
    return torch.nn.functional.cross_entropy(scores, labels, weight)

def workload():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    return Workload("late", net, (torch.ones(1, 4),), training=Training(Late(), loss, epochs=1, batch_size=4))
"""
RECIPE = """description = "trained"
[[steps]]
technique = "sparsify"
amount = 0.5
"""


class Folder:
    """A workload that reads its labels, its loss's weights and a helper as it is trained."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "net.py").write_text(WORKLOAD)
        (path / "helper.py").write_text("def label(value):\n    return int(value)\n")
        self.label(0)
        (path / "weights.txt").write_text("1 1")

    def label(self, kind: int) -> None:
        np.save(self.path / "labels.npy", np.arange(16) % 2 if kind else np.arange(16) // 8)

    def build(self, recipe: str = RECIPE) -> Artifact:
        path = self.path / "recipe.toml"
        path.write_text(recipe)
        profile = load_profile("x86-64-linux")
        source = WorkloadSource.parse(f"{self.path / 'net.py'}:workload")
        cache = self.path / "cache"
        return build(
            source, load_recipe(str(path)), profile.name, profile, "onnx", cache=cache, runner=plain_run
        )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("changed", ["labels.npy", "weights.txt", "helper.py"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_read_in_training_is_what_a_build_was_made_from(
    folder: Folder, changed: str, elsewhere: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    first = folder.build()
    assert folder.build() == first
    if elsewhere:  # a process that takes up the trained module and writes another file of it
        session._SESSIONS.clear()
        folder.build(RECIPE + '[[steps]]\ntechnique = "fp16"\n')
        session._SESSIONS.clear()
    recipe = RECIPE + '[[steps]]\ntechnique = "fp16"\n' * elsewhere
    before = folder.build(recipe)
    if changed == "labels.npy":
        folder.label(1)
    elif changed == "weights.txt":
        (folder.path / changed).write_text("9 1")
    else:
        (folder.path / changed).write_text("def label(value):\n    return 1 - int(value)\n")
    assert folder.build(recipe).sha256 != before.sha256
    assert capsys.readouterr().out == ""


def source(folder: Path, data: str = "", loss: str = "", **fields: str) -> WorkloadSource:
    """A workload whose training is as given."""
    given = {"epochs": "1", "batch_size": "4", "learning_rate": "0.01", **fields}
    (folder / "net.py").write_text(
        "import torch\nfrom edgewright.workload import Training, Workload\n"
        "X, Y = torch.ones(16, 4), torch.zeros(16, dtype=torch.long)\n"
        "class Data:\n    def __len__(self):\n        return 16\n"
        f"    def __getitem__(self, number):\n        {data or 'return X[number], 0'}\n"
        f"def loss(scores, labels):\n    {loss or 'return scores.mean()'}\n"
        "def workload():\n    net = torch.nn.Linear(4, 2)\n"
        f"    training = Training({given.pop('made', 'Data()')}, loss, "
        f"{', '.join(f'{key}={value}' for key, value in given.items())})\n"
        "    return Workload('net', net, (X[:1],), training=training)\n"
    )
    return WorkloadSource.parse(f"{folder / 'net.py'}:workload")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("epochs", ["0", "-1", "2.5", "'3'", "True", "None"]),
        ("batch_size", ["0", "-3", "1.5", "'64'"]),
        ("learning_rate", ["0", "-1.0", "'big'", "float('nan')", "float('inf')"]),
    ],
)
def test_numbers_of_a_training_are_checked(tmp_path: Path, name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=rf"net\.py:workload: training\.{name} is "):
            load_workload(source(tmp_path, **{name: value}))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("[]", "training.data has no samples"),
        ("object()", "the length of training.data raised TypeError: object of type 'object' has no len"),
    ],
)
def test_data_without_a_length_is_refused(tmp_path: Path, made: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_workload(source(tmp_path, made=made))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"data": "raise OSError('disk gone')"}, "net.py:8: training.data raised OSError: disk gone"),
        ({"data": "return {'x': X[0]}"}, "training.data[{}] is a dict ((*inputs, target), all of them"),
        ({"data": "return (X[0],)"}, "training.data[{}] is a tuple of 1"),
        ({"data": "return X[0], 'cat'"}, "training.data[{}] holds a str"),
        ({"data": "return X[0], (Y[0], Y[0])"}, "training.data[{}] holds a tuple"),
        (
            {"data": "return X[0, :number % 4], 0"},
            "the workload's ",
        ),
        ({"loss": "return 1.0"}, "training.loss returned a float"),
        ({"loss": "return scores.mean(1)"}, "training.loss returned a tensor of [4] (a tensor of one number"),
        ({"loss": "return scores.mean().detach()"}, "training.loss returned a number without a gradient"),
        ({"loss": "raise ValueError('boom\\nagain')"}, "net.py:10: training.loss raised ValueError: boom"),
    ],
)
@pytest.mark.parametrize("by", ["lamp", "obd"])
def test_what_training_gives_is_held_to_its_form(
    tmp_path: Path, given: dict[str, str], said: str, by: str
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'description = "x"\n[[steps]]\ntechnique = "sparsify"\nby = "{by}"\n')
    profile, cache = load_profile("x86-64-linux"), tmp_path / "cache"
    made = source(tmp_path, **given)
    with pytest.raises(EdgewrightError) as caught:
        build(made, load_recipe(str(recipe)), profile.name, profile, "onnx", cache=cache, runner=plain_run)
    message = str(caught.value)
    assert "\n" not in message
    assert any(said.format(number) in message for number in range(16)), message


def test_a_dataset_that_reads_batches_at_once_does(tmp_path: Path) -> None:
    made = source(
        tmp_path, data="raise AssertionError\n    def __getitems__(self, n): return [(X[i], i) for i in n]"
    )
    training = load_workload(made).workload.training
    assert training is not None
    assert [label for _, label in training.data.__getitems__([3, 5])] == [3, 5]
