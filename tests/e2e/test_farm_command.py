"""``edgewright farm`` as a command: its files, its exit codes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from tests.devices.quick_command import QuickCommand
from tests.models import onnx_zoo

from edgewright.farm.inventory import Target
from edgewright.nightly import again, baseline
from edgewright.nightly.lane import board_of
from edgewright.report import comparison
from edgewright.store import Boards, Store

PLAN = '[plan]\nname = "night"\nworkloads = [{}]\ndevices = ["local"]\npreset = "rapid"\n'


@pytest.fixture
def farm(quick: QuickCommand) -> QuickCommand:
    """A plan of one model on this machine."""
    onnx_zoo.save(onnx_zoo.one_node("Relu"), quick.folder / "relu.onnx")
    (quick.folder / "plan.toml").write_text(PLAN.format('"relu.onnx"'))
    return quick


def test_a_night_and_its_files(farm: QuickCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    told = farm.folder / "github.md"
    told.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(told))
    words = ("farm", "run", "plan.toml", "--baseline", "last-good")
    answer = farm(*words, "--junit", "junit.xml", "--markdown-summary", "summary.md", "--github")
    assert answer.code == 0, answer
    unknown, measured = answer.err.splitlines()
    assert unknown == "end unknown, cells that were never timed: 1"
    assert measured == "[1/1] relu.onnx as-is onnxruntime on local: measured"
    assert answer.out.splitlines()[-1].endswith(": 1 measured")
    (suite,) = ElementTree.fromstring((farm.folder / "junit.xml").read_bytes())
    assert suite.get("name") == "local" and len(suite) == 1
    summary = (farm.folder / "summary.md").read_text()
    assert summary.startswith("## night: 1 measured\n") and told.read_text() == "before\n" + summary
    again = farm("farm", "run", "plan.toml")
    assert again.code == 0 and again.err.startswith("ends about ")
    assert farm.refusal(2, *words, "--resume").startswith("no run of this command was cut short")


def test_a_slower_row_is_exit_code_1(farm: QuickCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts as slower is compare's matter; here every pair is."""
    monkeypatch.setattr(baseline, "_is_good", lambda row: True)
    compared = comparison.compare_pair

    def slower(*words: object) -> object:
        pair = compared(*words)  # type: ignore[arg-type]
        return pair.model_copy(update={"answer": "slower", "ratio": 2.0})

    assert farm("farm", "run", "plan.toml").code == 0
    monkeypatch.setattr(baseline, "compare_pair", slower)
    answer = farm("farm", "run", "plan.toml", "--baseline", "last-good", "--junit", "junit.xml")
    assert answer.code == 1 and "slower: relu.onnx as-is onnxruntime on local: " in answer.out, answer
    assert "measured again, for they seem slower than they were: 1" in answer.err and "[3/3]" in answer.err
    (suite,) = ElementTree.fromstring((farm.folder / "junit.xml").read_bytes())
    assert suite.get("failures") == "1"
    run_id = answer.out.splitlines()[-1].split()[1].rstrip(":")
    assert farm("farm", "accept", run_id).out == f"{run_id}: 3 slower rows are good from now on\n"
    assert farm.refusal(2, "farm", "accept", run_id).endswith("has no rows that were marked as slower")


def test_a_suspect_is_measured_twice_more(farm: QuickCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes a suspect is the history's matter; here every row of the night is one."""

    def suspected(store: Store, run_id: str, *, threshold: float) -> SimpleNamespace:
        judged = SimpleNamespace(points=[SimpleNamespace(position=0)])
        return SimpleNamespace(suspects=[SimpleNamespace(judged=judged)])

    monkeypatch.setattr(again, "find_regressions", suspected)
    answer = farm("farm", "run", "plan.toml", "--junit", "junit.xml")
    assert answer.code == 0 and answer.out.splitlines()[-1].endswith(": 1 measured"), answer
    assert "measured again, for they seem slower than they were: 1" in answer.err
    assert [line for line in answer.err.splitlines() if line.startswith("[")] == [
        f"[{n}/{of}] relu.onnx as-is onnxruntime on local: measured" for n, of in ((1, 1), (2, 3), (3, 3))
    ]
    (suite,) = ElementTree.fromstring((farm.folder / "junit.xml").read_bytes())
    assert suite.get("tests") == "1"
    with Store.open(farm.folder / "store.sqlite") as store:
        assert len(store.run().rows) == 3
    assert "[2/" not in farm("farm", "run", "plan.toml", "--again", "0").err


def test_status_and_release(farm: QuickCommand) -> None:
    board = board_of(Target("local", "x86-64-linux"))
    with Store.open(farm.folder / "store.sqlite") as store:
        Boards(store).quarantine(board, "local", "3 cells in a row failed, the last: \x1b[31mred")
        Boards(store).checked(board, "local", "the gold standard came out wrong", is_healthy=False)
    (device,) = json.loads(farm("farm", "status", "--json").out)
    assert device["name"] == "local" and device["lease"] is None
    assert device["quarantine"]["reason"].startswith("3 cells") and device["health"]["is_healthy"] is False
    table = farm("farm", "status").out
    assert "quarantined" in table and "not well" in table and "\x1b" not in table
    assert farm("farm", "release", "local").out.startswith("local: released, it was 3 cells")
    assert farm("farm", "release", "local").out == "local: in no quarantine\n"
    assert farm.refusal(2, "farm", "release", "pi").startswith("unknown device 'pi'")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--resume", "--fresh"), "--resume and --fresh exclude each other"),
        (("--github",), "--github: GITHUB_STEP_SUMMARY is not set"),
        (("--junit", "none/junit.xml"), "none/junit.xml: no such folder"),
        (("--baseline", "20200101"), "store.sqlite: no run '20200101'"),
        (("--threshold", "much"), "much"),
        (("--return-wait", "nan"), "'nan' is not a number of minutes"),
        (("--return-wait", "inf"), "--return-wait"),
        (("--wait", "nan"), "'nan' is not a number of minutes"),
        (("--junit", "told", "--markdown-summary", "./told"), "told: named for junit and for summary"),
    ],
)
def test_what_is_refused_before_anything_is_measured(
    farm: QuickCommand, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert told in farm.refusal(2, "farm", "run", "plan.toml", *words)
    if (farm.folder / "store.sqlite").exists():
        with Store.open(farm.folder / "store.sqlite") as store:
            assert store.list_runs() == ()


def test_a_model_that_is_none_is_a_row_like_any_other(farm: QuickCommand) -> None:
    (farm.folder / "bad.onnx").write_bytes(b"nonsense")
    (farm.folder / "plan.toml").write_text(PLAN.format('"relu.onnx", "bad.onnx"'))
    answer = farm("farm", "run", "plan.toml")
    assert answer.code == 1 and answer.out.splitlines()[-1].endswith(": 1 measured, 1 failed"), answer
    assert not Path(farm.folder / "junit.xml").exists()
