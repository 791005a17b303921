from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgewright.errors import BuildError, ConfigError
from edgewright.workloads import LoadedWorkload, WorkloadSource, load_workload

HEAD = """
import numpy as np
import torch
from edgewright.workload import Evaluation, Workload

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(x)

"""


def made(folder: Path, body: str, factory: str = "workload") -> WorkloadSource:
    path = folder / "net.py"
    path.write_text(HEAD + body)
    return WorkloadSource.parse(f"{path}:{factory}")


def returning(**fields: str) -> str:
    given = {"name": "'net'", "model": "Net()", "example_inputs": "(torch.ones(1, 3),)", **fields}
    return f"def workload():\n    return Workload({', '.join(f'{k}={v}' for k, v in given.items())})\n"


def message(source: WorkloadSource) -> str:
    with pytest.raises(ConfigError) as caught:
        load_workload(source)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net.py", "does not name a workload"),
        ("net.py:", "does not name a workload"),
        (":workload", "does not name a workload"),
        ("net.py:not a name", "does not name a workload"),
        ("net.txt:workload", "not a Python file"),
        ("no-such.py:workload", "no-such.py: no such file"),
    ],
)
def test_what_does_not_name_a_workload(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        WorkloadSource.parse(text)


def test_a_good_workload_loads(tmp_path: Path) -> None:
    loaded = load_workload(made(tmp_path, returning(calibration="[(torch.zeros(1, 3),)]")))
    assert loaded.workload.name == "net"
    assert isinstance(loaded.workload.calibration, tuple)


def test_a_misspelt_factory_is_given_its_neighbour(tmp_path: Path) -> None:
    text = message(made(tmp_path, returning(), factory="wokload"))
    assert "factory 'wokload' is not there (did you mean 'workload'?)" in text


def test_a_factory_that_is_not_a_function(tmp_path: Path) -> None:
    assert "factory 'workload' is not a function" in message(made(tmp_path, "workload = 3\n"))


def test_a_factory_that_raises_is_named_with_its_line(tmp_path: Path) -> None:
    body = "def deeper():\n    raise KeyError('weights\\nmissing')\n\ndef workload():\n    return deeper()\n"
    line = HEAD.count("\n") + 2
    assert f"net.py:{line}: factory 'workload' raised KeyError" in message(made(tmp_path, body))


def test_a_factory_that_exits_is_not_let_go(tmp_path: Path) -> None:
    body = "def workload():\n    raise SystemExit(0)\n"
    assert "factory 'workload' raised SystemExit: 0" in message(made(tmp_path, body))


def test_a_file_that_does_not_parse(tmp_path: Path) -> None:
    line = HEAD.count("\n") + 1
    assert f"net.py:{line}: loading raised SyntaxError" in message(made(tmp_path, "def workload(:\n"))


def test_a_file_that_imports_what_is_not_there(tmp_path: Path) -> None:
    text = message(made(tmp_path, "import no_such_package\n"))
    assert "raised ModuleNotFoundError: No module named 'no_such_package'" in text


def test_a_factory_that_returns_something_else(tmp_path: Path) -> None:
    assert "returned int, not a Workload" in message(made(tmp_path, "def workload():\n    return 1\n"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "'a/b'"}, "name 'a/b' is not usable"),
        ({"model": "print"}, "model is a builtin_function_or_method, not a torch.nn.Module"),
        ({"example_inputs": "torch.ones(1, 3)"}, "example_inputs is not a tuple of tensors"),
        ({"example_inputs": "(torch.ones(1, 4),)"}, "forward failed on float32[1 x 4]: RuntimeError"),
        ({"calibration": "[(torch.ones(1, 4),)]"}, "calibration sample 0 is float32[1 x 4]"),
        ({"evaluate": "Evaluation('m', (), float)"}, "evaluate has 0 inputs, the model 1"),
        ({"evaluate": "Evaluation('m', (np.zeros((0, 3), 'f'),), float)"}, "have [0] samples"),
        ({"evaluate": "Evaluation('m', (np.zeros((5, 4), 'f'),), float)"}, "expected float32[n x 3]"),
        ({"evaluate": "Evaluation('m', (np.zeros((5, 3)),), float)"}, "input is float64[5 x 3]"),
        (
            {
                "evaluate": "Evaluation('m', (np.zeros((5, 3), 'f'),), float)",
                "example_inputs": "(torch.ones(2, 3),)",
            },
            "a batch axis of one, this is [2, 3]",
        ),
    ],
)
def test_a_workload_that_is_not_as_it_should_be(fields: dict[str, str], said: str, tmp_path: Path) -> None:
    text = message(made(tmp_path, returning(**fields)))
    assert said in text
    assert "net.py:workload" in text


def test_outputs_that_are_no_numbers_are_no_mistake_of_writing(tmp_path: Path) -> None:
    source = made(tmp_path, returning(example_inputs="(torch.full((1, 3), torch.nan),)"))
    with pytest.raises(BuildError, match=r"net\.py:workload: output 'output' holds 2 NaN or infinite of 2"):
        load_workload(source)


def test_a_forward_that_returns_no_tensor(tmp_path: Path) -> None:
    body = "class Odd(Net):\n    def forward(self, x):\n        return 'x'\n\n" + returning(model="Odd()")
    assert "forward returns a str" in message(made(tmp_path, body))


def test_what_training_raises_is_named_with_its_line(tmp_path: Path) -> None:
    body = "def tune(module):\n    raise ValueError('no data')\n\n" + returning(train="tune")
    train = load_workload(made(tmp_path, body)).workload.train
    assert train is not None
    line = HEAD.count("\n") + 2
    with pytest.raises(ConfigError, match=rf"net\.py:{line}: train raised ValueError: no data"):
        train(None)  # type: ignore[arg-type]


def test_prints_of_a_factory_go_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_workload(made(tmp_path, "print('loading')\n" + returning()))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "loading" in captured.err


def test_random_weights_are_the_same_each_time(tmp_path: Path) -> None:
    source = made(tmp_path, returning())
    one, two = (load_workload(source).workload.model.state_dict()["fc.weight"] for _ in range(2))
    assert one.equal(two)


def test_two_folders_may_each_have_a_helper_of_one_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "my_helper.py").write_text(f"NAME = {name!r}\n")
        loaded = load_workload(made(folder, "import my_helper\n" + returning(name="my_helper.NAME")))
        assert loaded.workload.name == name
    assert str(tmp_path / "two") not in sys.path


def test_a_helper_may_be_imported_when_it_is_needed(tmp_path: Path) -> None:
    """In the factory and in ``score``, and by workloads that take turns, each its own."""
    loaded = {}
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "my_helper.py").write_text(f"NAME = {name!r}\n")
        body = (
            "def score(outputs):\n    import my_later\n    return my_later.VALUE\n\n"
            "def workload():\n    import my_helper\n    return Workload(my_helper.NAME, Net(), "
            "(torch.ones(1, 3),), evaluate=Evaluation('m', (np.ones((1, 3), 'f4'),), score))\n"
        )
        (folder / "my_later.py").write_text(f"from my_helper import NAME\nVALUE = 3.0 + (NAME == {name!r})\n")
        loaded[name] = load_workload(made(folder, body))
    for _ in range(2):
        for name, found in loaded.items():
            assert found.workload.name == name
            assert found.workload.evaluate is not None
            assert found.workload.evaluate.score(()) == 4.0
            read = {d.path for d in found.dependencies()}
            assert str(tmp_path / name / "my_later.py") in read
            assert not any(path.startswith(str(tmp_path)) and f"/{name}/" not in path for path in read)
    assert not any(str(tmp_path) in folder for folder in sys.path)


def test_a_look_through_the_path_meanwhile_misses_nothing(tmp_path: Path) -> None:
    """As another thread's does, that looks for a package: it began while a workload was imported."""
    body = "import sys\nsys.looking = iter(sys.path)\nnext(sys.looking)\n"
    load_workload(made(tmp_path, body + returning()))
    looking = sys.__dict__.pop("looking")
    assert list(looking) == sys.path


def test_a_folder_that_is_on_the_path_by_hand_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    before = list(sys.path)
    loaded = load_workload(made(tmp_path, returning()))
    assert sys.path == before
    with loaded.at_home():
        assert sys.path == [*before, str(tmp_path)]
    assert sys.path == before


def test_dependencies_are_the_files_a_workload_read(tmp_path: Path) -> None:
    (tmp_path / "my_helper.py").write_text("VALUE = 1\n")
    (tmp_path / "data.txt").write_text("3")
    body = "import my_helper, pathlib\nTEXT = pathlib.Path(__file__).with_name('data.txt').read_text()\n"
    loaded = LoadedWorkload(made(tmp_path, body + returning()))
    names = {Path(d.path).name for d in loaded.dependencies()}
    assert {"net.py", "my_helper.py", "data.txt"} <= names
    assert all(d.unchanged() for d in loaded.dependencies())


def test_calibration_read_late_is_a_dependency_too(tmp_path: Path) -> None:
    (tmp_path / "late.txt").write_text("1")
    body = (
        "from pathlib import Path\nclass Lazy:\n    def __len__(self): return 1\n"
        "    def __getitem__(self, i):\n        if i: raise IndexError\n"
        "        Path(__file__).with_name('late.txt').read_text()\n        return (torch.ones(1, 3),)\n\n"
    )
    loaded = LoadedWorkload(made(tmp_path, body + returning(calibration="Lazy()")))
    assert "late.txt" in {Path(d.path).name for d in loaded.dependencies()}
