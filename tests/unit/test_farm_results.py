"""What a night is told as: JUnit, a summary in Markdown, and which rows are slower than they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import HOSTILE, latencies, launch, measured, row

from edgewright.errors import ConfigError
from edgewright.farm.execute import Task
from edgewright.farm.subject import Subject
from edgewright.nightly.again import key_again
from edgewright.nightly.baseline import LAST_GOOD, hold_against, newly_slower
from edgewright.nightly.junit import render_junit
from edgewright.nightly.results import CellResult, Comparisons, NightResult, results
from edgewright.nightly.summary import MOST_LINES, render_summary
from edgewright.report.assemble import row_document
from edgewright.row import Cell, Failed, Row, Skipped
from edgewright.store import Baselines, Store

QUARANTINED = Failed("pi5: quarantined: it cannot be reached", "quarantined", retryable=True)
CELLS = tuple(
    Cell("net", recipe, "pi5", "raspberry-pi-5", "onnxruntime")
    for recipe in ("fp32", "fp16", "int8", "prune", "x")
)


def at(median_ms: float, cell: Cell = CELLS[0], seed: int = 0) -> Row:
    runs = [launch(latencies(median_ms, 400, seed=10 * seed + n)) for n in range(5)]
    return row(measured(*runs), cell=cell)


def task(cell: Cell, key: str) -> Task:
    return Task(cast(Subject, None), None, cell, key)


def night(
    rows: Sequence[Row | None], comparisons: Comparisons | None = None, name: str = "night"
) -> NightResult:
    there = {f"key{n}": one for n, one in enumerate(rows) if one is not None}
    shown = {key: row_document(one) for key, one in there.items()}
    cells = [one.cell if one else CELLS[n] for n, one in enumerate(rows)]
    tasks = [task(cell, f"key{n}") for n, cell in enumerate(cells)]
    against = comparisons or Comparisons({})
    seconds = {"key0": 12.25}
    return NightResult("run1", name, results(tasks, shown, seconds, against), against.gone)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened


def add(store: Store, *rows: Row, name: str = "night") -> str:
    run_id = store.begin_run(name, "", "quick")
    for number, one in enumerate(rows):
        store.add_row(run_id, one, f"{run_id}/{number}")
    store.finish_run(run_id)
    return run_id


def held(store: Store, run_id: str, baseline: str = LAST_GOOD) -> Comparisons:
    return hold_against(baseline, run_id, store, 0.05)


def test_each_kind_of_cell_is_its_own_element() -> None:
    rows = [
        at(4.0),
        row(Failed("the runtime refused it", "model-rejected"), cell=CELLS[1]),
        row(Skipped("it cannot be"), cell=CELLS[2]),
        row(QUARANTINED, cell=CELLS[3]),
        None,
    ]
    suites = ElementTree.fromstring(render_junit(night(rows)))
    (suite,) = suites
    for element in (suites, suite):
        assert [element.get(k) for k in ("tests", "failures", "errors", "skipped")] == ["5", "1", "2", "1"]
    cases = [(case.get("name"), [child.tag for child in case if child.tag != "system-out"]) for case in suite]
    assert cases == [
        ("net fp32 onnxruntime", []),
        ("net fp16 onnxruntime", ["failure"]),
        ("net int8 onnxruntime", ["skipped"]),
        ("net prune onnxruntime", ["error"]),
        ("net x onnxruntime", ["error"]),
    ]
    assert suite[0].get("time") == "12.250" and suite[1].get("time") is None
    assert suite[0].get("classname") == "night.pi5"
    failure = suite[1].find("failure")
    assert failure is not None and failure.get("message") == "the runtime refused it"


@given(st.text(max_size=60))
def test_junit_is_well_formed_whatever_a_device_says(text: str) -> None:
    cell = replace(CELLS[0], workload=text + HOSTILE)
    failed = row(Failed(text + HOSTILE, "agent-fault"), cell=cell)
    suites = ElementTree.fromstring(render_junit(night([failed], name=text)))
    assert suites.get("failures") == "1"


def test_the_summary_begins_with_what_needs_a_look() -> None:
    rows = [at(4.0), row(Failed("no <b>luck</b> | at all", "agent-fault"), cell=CELLS[1])]
    result = replace(night(rows), quarantined={"nano": "it cannot be reached"})
    text = render_summary(result)
    assert text.startswith("## night: 1 measured, 1 failed\n")
    assert "**nano** is in quarantine: it cannot be reached" in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert lines[1].startswith("| **failed** | pi5 |") and "\\|" in lines[1] and "<b>" not in lines[1]
    assert "4.00 ms" in lines[2] and lines[2].startswith("| measured |")


def test_a_large_night_is_cut_short_and_says_so() -> None:
    failed = row(Failed("gone", "transport"))
    cells = [CellResult(failed.cell, row_document(failed))] * (MOST_LINES + 7)
    text = render_summary(NightResult("run1", "night", tuple(cells)))
    assert text.count("\n| **not reached** ") == MOST_LINES
    assert "And 7 more, see `edgewright report run1`." in text


def test_a_slower_row_is_a_failure_and_no_baseline_for_the_next_night(store: Store) -> None:
    add(store, at(4.0, seed=1))
    first = add(store, at(4.02, seed=2))
    slow = add(store, at(5.0, seed=3))
    compared = held(store, slow)
    (against,) = compared.by_key.values()
    assert (against.pair.answer, against.run_id) == ("slower", first)
    (cell,) = night([at(5.0)], Comparisons({"key0": against})).cells
    assert cell.kind == "slower" and "B takes 1.2" in cell.reason
    still_slow = add(store, at(5.0, seed=4))
    (against,) = held(store, still_slow).by_key.values()
    assert (against.pair.answer, against.run_id) == ("slower", first)
    assert Baselines(store).accept(slow) == 1
    (against,) = held(store, still_slow).by_key.values()
    assert (against.pair.answer, against.run_id) == ("same", slow)


@pytest.mark.parametrize(
    ("baseline", "again", "kind"),
    [
        (LAST_GOOD, (5.0, 5.0), "slower"),
        (LAST_GOOD, (4.0, 5.0), "slower"),
        (LAST_GOOD, (4.0, 4.0), "measured"),
        ("", (4.0, 4.0), "measured"),
        ("", (5.0, 4.0), "slower"),
    ],
)
def test_of_a_cell_that_was_measured_again_the_middle_counts(
    store: Store, baseline: str, again: tuple[float, ...], kind: str
) -> None:
    good = add(store, at(4.0, seed=1), at(2.0, CELLS[1]))
    slow = store.begin_run("night", "", "quick")
    store.add_row(slow, at(5.0, seed=3), f"{slow}/pi5/0")
    store.add_row(slow, at(2.0, CELLS[1], seed=3), f"{slow}/pi5/1")
    keys = set(store.keys(slow).values())
    against = baseline or good
    assert newly_slower(against, slow, store, 0.05) == (f"{slow}/pi5/0",)
    for number, ms in enumerate(again, start=1):
        store.add_row(slow, at(ms, seed=4 + number), key_again(f"{slow}/pi5/0", number))
    compared = held(store, slow, against)
    assert compared.gone == () and set(compared.by_key) == keys
    assert (compared.by_key[f"{slow}/pi5/0"].pair.answer == "slower") == (kind == "slower")
    marked = sum(ms == 5.0 for ms in (5.0, *again)) if kind == "slower" else 0
    assert Baselines(store).was_slower(add(store, at(5.0, seed=9)), at(5.0)) == (
        kind == "slower" and again[-1] == 5.0
    )
    assert Baselines(store).accept(slow) == marked


def test_what_was_slower_already_is_not_measured_again(store: Store) -> None:
    add(store, at(4.0, seed=1))
    held(store, add(store, at(5.0, seed=2)))
    still = add(store, at(5.0, seed=3))
    assert newly_slower(LAST_GOOD, still, store, 0.05) == ()


def test_only_rows_of_the_same_cell_and_plan_are_looked_at(store: Store) -> None:
    add(store, at(1.0), name="another plan")
    add(store, replace(at(1.0), preset="rapid"), replace(at(1.0), scenario="offline"), at(1.0, CELLS[1]))
    assert held(store, add(store, at(4.0))).by_key == {}


def test_rows_that_cannot_be_believed_are_no_baseline(store: Store) -> None:
    good = add(store, at(4.0, seed=1))
    runs = [launch(latencies(2.0, 400, seed=n), providers=("OtherExecutionProvider",)) for n in range(5)]
    add(store, row(measured(*runs)))
    (against,) = held(store, add(store, at(4.0, seed=2))).by_key.values()
    assert against.run_id == good and against.pair.answer == "same"


def test_against_one_run_what_is_gone_is_told(store: Store) -> None:
    baseline = add(store, at(4.0), at(2.0, CELLS[1]), row(Failed("gone", "transport"), cell=CELLS[2]))
    run_id = add(store, at(4.0, seed=1), row(Skipped("no"), cell=CELLS[3]))
    compared = held(store, run_id, baseline)
    assert [one.pair.answer for one in compared.by_key.values()] == ["same"]
    assert compared.gone == ("net/fp16/pi5/onnxruntime",)
    result = night([at(4.0)], compared)
    assert result.headline == "1 measured, 1 gone"
    suites = ElementTree.fromstring(render_junit(result))
    assert (suites.get("tests"), suites.get("errors")) == ("2", "1")
    with pytest.raises(ConfigError, match="no run 'nonsense'"):
        held(store, run_id, "nonsense")
