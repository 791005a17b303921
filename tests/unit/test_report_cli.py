"""``edgewright report`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.devices.quick_command import QuickCommand
from tests.fakes import plan_run, row

from edgewright.cli.report import report
from edgewright.row import Failed
from edgewright.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with two runs: a failure, then a whole plan."""
    path = tmp_path / "store.sqlite"
    monkeypatch.setenv("EDGEWRIGHT_STORE", str(path))
    with Store.open(path) as opened:
        opened.add_row(opened.begin_run("first", "", "rapid"), row(Failed("the board is gone", "transport")))
        run_id = opened.begin_run("second", "[plan]", "quick")
        for one in plan_run(launches=1, devices=("pi5",)).rows:
            opened.add_row(run_id, one)
        opened.finish_run(run_id)
    return path


def call(*words: str) -> Result:
    return CliRunner().invoke(report, words)


def test_the_latest_run_is_printed(store: Path) -> None:
    result = call()
    assert result.exit_code == 0
    assert result.output.startswith("second") and "Ship digits on pi5 as int8-static" in result.output
    assert "\x1b" not in result.output


def test_every_file_is_written_at_once(store: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / "out" / f"report.{name}" for name in ("html", "json", "csv", "markdown")}
    result = call(*(word for name, path in files.items() for word in (f"--{name}", str(path))))
    assert result.exit_code == 0 and result.output == ""
    assert len(json.loads(files["json"].read_text())["rows"]) == 24
    assert len(files["csv"].read_text().splitlines()) == 25
    assert files["html"].read_text().startswith("<!doctype html>")
    assert files["markdown"].read_text().startswith("# second")


def test_a_run_is_named_by_its_id(store: Path) -> None:
    with Store.open(store) as opened:
        first = opened.list_runs()[1].run.run_id
    assert "the board is gone" in call(first).output


def test_a_dash_is_standard_output(store: Path) -> None:
    assert json.loads(call("--json", "-").output)["schema"] == "edgewright.report/1"


def test_runs_are_listed_for_people_and_programs(store: Path, tmp_path: Path) -> None:
    lines = call("--list").output.splitlines()
    assert "second  quick  23 measured, 0 failed, 1 skipped" in lines[0]
    assert "first  rapid  0 measured, 1 failed, 0 skipped  unfinished" in lines[1]
    listing = json.loads(call("--list", "--json", "-").output)
    assert [(one["name"], one["failed"]) for one in listing] == [("second", 0), ("first", 1)]
    call("--list", "--json", str(tmp_path / "runs.json"))
    assert json.loads((tmp_path / "runs.json").read_text()) == listing


def test_a_report_file_is_rendered_again(store: Path, tmp_path: Path) -> None:
    call("--json", str(tmp_path / "report.json"))
    result = call(str(tmp_path / "report.json"), "--csv", "-")
    assert result.exit_code == 0 and result.output == call("--csv", "-").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "no run 'nonsense'"),
        (["missing.json"], "missing.json: cannot be read: No such file or directory"),
        (["--html", "/dev/null/x.html"], "/dev/null/x.html: cannot be written"),
        (["--store", "/dev/null/x"], "/dev/null/x: no such store"),
        (["--list", "--html", "x"], "--list takes --json and --store only"),
        (["x.json", "--all-samples"], "--all-samples needs a stored run"),
        (["--store", "nonsense://x"], "store nonsense://...: neither SQLite nor PostgreSQL"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    store: Path, quick: QuickCommand, words: list[str], message: str
) -> None:
    assert message in quick.refusal(2, "report", *words)


@pytest.mark.parametrize(
    "words",
    [
        ("report",),
        ("report", "--list"),
        ("history",),
        ("regressions",),
        ("compare", "one", "other"),
        ("farm", "accept", "one"),
        ("serve",),
    ],
    ids=" ".join,
)
def test_a_store_s_name_that_was_mistyped_makes_none(
    quick: QuickCommand, tmp_path: Path, words: tuple[str, ...]
) -> None:
    line = quick.refusal(2, *words, "--store", str(tmp_path / "mistyped.sqlite"))
    assert line == f"{tmp_path / 'mistyped.sqlite'}: no such store"
    assert not (tmp_path / "mistyped.sqlite").exists()
