"""``edgewright compare`` as a person and a pipeline call it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.devices.quick_command import QuickCommand
from tests.fakes import latencies, launch, measured, row

from edgewright.cli.compare import compare
from edgewright.report import report_document
from edgewright.report.compare_text import print_comparison
from edgewright.report.comparison import CompareDocument
from edgewright.report.plain import render_json
from edgewright.row import Failed, Row, Skipped
from edgewright.store import Store

CELL = row().cell


def timed(ms: float, recipe: str = "fp32", seed: int = 0, **cell: str) -> Row:
    """A row of five launches."""
    runs = [launch(latencies(ms, 300, seed=5 * seed + n), duration_ns=3 * 10**9) for n in range(5)]
    return row(measured(*runs), cell=replace(CELL, recipe=recipe, **cell))


class Shelf:
    """A store with runs that tests name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids: dict[str, str] = {}

    def add(self, name: str, *rows: Row) -> str:
        with Store.open(self.path) as store:
            run_id = store.begin_run(name, "", "quick")
            for one in rows:
                store.add_row(run_id, one)
            store.finish_run(run_id)
        self.ids[name] = run_id
        return run_id

    def json(self, name: str) -> str:
        """The run's report in a file."""
        path = self.path.parent / f"{name}.json"
        with Store.open(self.path) as store:
            path.write_text(render_json(report_document(store.run(self.ids[name]))))
        return str(path)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    path = tmp_path / "store.sqlite"
    monkeypatch.setenv("EDGEWRIGHT_STORE", str(path))
    made = Shelf(path)
    made.add("before", timed(4.0), timed(2.0, "int8-static"))
    made.add("slower", timed(4.8, seed=1), timed(2.0, "int8-static", seed=1))
    made.add("faster", timed(4.0, seed=2), timed(1.5, "int8-static", seed=2))
    return made


def call(*words: str) -> Result:
    # What a command returns is its exit code; under the test runner it has to be asked for.
    result = CliRunner().invoke(compare, words, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def found(tmp_path: Path, *words: str) -> tuple[int, CompareDocument]:
    path = tmp_path / "comparison.json"
    code = call(*words, "--json", str(path)).return_value
    return code, CompareDocument.model_validate_json(path.read_text())


def answers(document: CompareDocument) -> list[str]:
    return [pair.answer for pair in document.pairs]


@pytest.mark.parametrize(
    ("b", "code", "expected", "verdict"),
    [
        ("before", 0, ["same", "same"], "same"),
        ("slower", 1, ["slower", "same"], "slower"),
        ("faster", 0, ["same", "faster"], "same"),
    ],
)
def test_runs_are_compared_row_by_row(
    shelf: Shelf, tmp_path: Path, b: str, code: int, expected: Sequence[str], verdict: str
) -> None:
    for first, second in (
        (shelf.ids["before"], shelf.ids[b]),
        (shelf.json("before"), shelf.json(b)),
        (shelf.json("before"), shelf.ids[b]),
    ):
        exit_code, document = found(tmp_path, first, second)
        assert (exit_code, answers(document), document.verdict) == (code, expected, verdict)


def test_the_json_has_the_figures(shelf: Shelf, tmp_path: Path) -> None:
    _, document = found(tmp_path, shelf.ids["before"], shelf.ids["slower"], "--threshold", "10%")
    text = json.loads((tmp_path / "comparison.json").read_text())
    assert text["schema"] == "edgewright.compare/1" and text["threshold"] == 0.1
    pair = document.pairs[0]
    assert pair.ratio == pytest.approx(1.2, rel=0.01)
    assert pair.ratio and pair.interval and pair.interval[0] < pair.ratio < pair.interval[1]
    assert pair.p_value == pytest.approx(2 / 252) and document.confidence == 0.99
    assert pair.a.median_ms == pytest.approx(4, rel=0.01)
    assert pair.b.median_ms == pytest.approx(4.8, rel=0.01)
    assert pair.a.verdict == "valid" and pair.a.recipe == "fp32"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("{before}:1", "{slower}:1"),
        ("{before}:digits/fp32", "{slower}:digits/fp32/pi5/onnxruntime"),
        ("{before}:*/fp32", "{slower}:1"),
        ("{file}:1", "{slower}:1"),
        ("{file}:digits/fp32", "{slower}:1"),
        ("{before}:1", "{slower}"),
    ],
)
def test_a_row_is_named_by_its_number_or_its_cell(shelf: Shelf, tmp_path: Path, a: str, b: str) -> None:
    places = {**shelf.ids, "file": shelf.json("before")}
    code, document = found(tmp_path, a.format(**places), b.format(**places))
    assert code == 1 and answers(document) == ["slower"]


def test_one_row_on_each_side_is_a_pair_whatever_its_name(shelf: Shelf, tmp_path: Path) -> None:
    run = shelf.ids["before"]
    code, document = found(tmp_path, f"{run}:1", f"{run}:2")
    assert code == 0 and answers(document) == ["faster"]
    shelf.add("a", timed(4.0, "as-is", workload="a.onnx"))
    shelf.add("b", timed(5.0, "as-is", workload="b.onnx"))
    code, document = found(tmp_path, shelf.json("a"), shelf.json("b"))
    assert code == 1 and answers(document) == ["slower"]
    assert "a.onnx → b.onnx" in call(shelf.ids["a"], shelf.ids["b"]).output


def test_what_one_side_measured_again_is_not_missing_on_the_other(shelf: Shelf, tmp_path: Path) -> None:
    twice = shelf.add("twice", *(timed(4.0, seed=seed) for seed in (3, 4)), timed(2.0, "int8-static"))
    for runs in ((shelf.ids["before"], twice), (twice, shelf.ids["before"])):
        code, document = found(tmp_path, *runs)
        assert code == 0 and answers(document) == ["same", "same"]
        assert not document.only_a and not document.only_b


def test_a_row_that_is_gone_cannot_be_told_and_a_new_one_is_no_matter(shelf: Shelf, tmp_path: Path) -> None:
    fewer = shelf.add("fewer", timed(4.0, seed=3), timed(9.0, "prune50", seed=3))
    code, document = found(tmp_path, shelf.ids["before"], fewer)
    assert code == 4 and answers(document) == ["same"] and document.verdict == "cannot tell"
    assert [one.recipe for one in document.only_a] == ["int8-static"]
    assert [one.recipe for one in document.only_b] == ["prune50"]
    output = call(shelf.ids["before"], fewer).output
    assert "only in A: digits/int8-static/pi5/onnxruntime" in output
    assert "1 same, 1 only in A, 1 only in B" in output
    more = shelf.add("more", timed(4.0), timed(2.0, "int8-static"), timed(9.0, "prune50"))
    assert found(tmp_path, shelf.ids["before"], more)[0] == 0


def test_what_was_not_measured_cannot_be_told_unless_it_cannot_be(shelf: Shelf, tmp_path: Path) -> None:
    failed = row(Failed("the worker was ended by SIGSEGV", "agent-fault"))
    skipped = row(Skipped("this device has no such runtime"), cell=replace(CELL, recipe="int8-static"))
    a = shelf.add("a", timed(4.0), skipped)
    code, document = found(tmp_path, a, shelf.add("b", failed, skipped))
    assert code == 4 and answers(document) == ["incomparable", "not applicable"]
    assert document.pairs[0].evidence == ["B was not measured: the worker was ended by SIGSEGV"]
    assert document.pairs[0].ratio is None and document.pairs[0].interval is None
    code, document = found(tmp_path, a, shelf.add("c", timed(4.0, seed=1), skipped))
    assert code == 0 and document.verdict == "same"
    assert found(tmp_path, shelf.add("d", skipped), shelf.add("e", skipped))[0] == 4


def test_unlike_conditions_end_with_4_unless_they_are_what_is_compared(shelf: Shelf, tmp_path: Path) -> None:
    one = timed(3.0)
    assert one.outcome.launches  # type: ignore[union-attr]
    runs = [replace(run, session=replace(run.session, threads=4)) for run in one.outcome.launches]  # type: ignore[union-attr]
    threads = shelf.add("threads", replace(one, outcome=measured(*runs)))
    first = f"{shelf.ids['before']}:1"
    code, document = found(tmp_path, first, threads)
    assert code == 4 and answers(document) == ["incomparable"]
    assert [vars(d) for d in document.pairs[0].differences] == [
        {"fact": "threads", "a": "1", "b": "4", "sentence": "threads differs: 1 for A, 4 for B"}
    ]
    assert found(tmp_path, first, threads, "--across", "threads")[0] == 0


def test_a_slower_row_outweighs_one_that_cannot_be_told(shelf: Shelf, tmp_path: Path) -> None:
    b = shelf.add(
        "b", timed(4.8, seed=1), row(Failed("gone", "transport"), cell=replace(CELL, recipe="int8-static"))
    )
    code, document = found(tmp_path, shelf.ids["before"], b)
    assert code == 1 and answers(document) == ["slower", "incomparable"]


def test_rows_of_one_cell_are_told_apart_by_their_threads(shelf: Shelf, tmp_path: Path) -> None:
    def with_threads(ms: float, threads: int) -> Row:
        one = timed(ms)
        runs = [replace(run, session=replace(run.session, threads=threads)) for run in one.outcome.launches]  # type: ignore[union-attr]
        return replace(one, outcome=measured(*runs))

    a = shelf.add("a", with_threads(4.0, 1), with_threads(2.0, 4))
    b = shelf.add("b", with_threads(2.0, 4), with_threads(4.0, 1))
    code, document = found(tmp_path, a, b)
    assert code == 0 and answers(document) == ["same", "same"]


def test_a_narrow_terminal_shows_it_all(
    shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, document = found(tmp_path, shelf.ids["before"], shelf.ids["slower"])
    print_comparison(document, sys.stdout, width=70)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 70
    assert "slower" in text and "1.2" in text and "Mann-Whitney" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{before}", "nonsense"], "no run 'nonsense'"),
        (["{before}", "gone.json"], "gone.json: cannot be read"),
        (["{before}:9", "{slower}:1"], "has no row 9 (its rows count from 1 to 2)"),
        (["{before}:0", "{slower}:1"], "has no row 0"),
        (["{before}:digits", "{slower}:1"], "'digits' means 2 rows of"),
        (["{before}:nets/fp32", "{slower}:1"], "has no row 'nets/fp32'"),
        (["{before}", "{slower}", "--threshold", "zero"], "'zero' is not a percentage"),
        (
            ["{before}", "{slower}", "--across", "thread"],
            "no condition is called 'thread' (did you mean 'threads'",
        ),
        (["{before}", "{slower}", "--json", "/nowhere/c.json"], "no such folder"),
        (["{before}"], "Missing argument 'B'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    shelf: Shelf, quick: QuickCommand, words: list[str], message: str
) -> None:
    assert message in quick.refusal(2, "compare", *(word.format(**shelf.ids) for word in words))


def test_the_exit_code_reaches_the_shell(shelf: Shelf) -> None:
    words = [shelf.ids["before"], shelf.ids["slower"]]
    code = "from edgewright.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1 and done.stderr == ""


def test_hostile_names_do_not_reach_the_terminal(shelf: Shelf) -> None:
    evil = timed(4.0, "as-is", workload="\x1b[31mred\x07.onnx")
    run = shelf.add("evil", evil)
    assert "\x1b" not in call(run, run).output
