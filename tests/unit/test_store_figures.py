"""Figures kept beside rows: derived once, the same as the report's, and read without the rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import HOSTILE, device, environment, latencies, launch, measured, plan_run, row
from tests.stores import store_of_revision

from edgewright.errors import ConfigError, StoreError
from edgewright.report import report_document
from edgewright.report.figures import figures_of
from edgewright.row import Cell, Failed, Row, Skipped
from edgewright.store import Store
from edgewright.store.figures import RULES
from edgewright.store.points import (
    all_runs,
    derive_missing,
    find_run,
    histories,
    points_of,
    runs_before,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def fill(path: Path, *rows: Row, figures: bool = False) -> str:
    with Store.open(path) as store:
        run_id = store.begin_run("demo", "", "quick", project_commit="abc")
        for one in rows:
            store.add_row(run_id, one, "", figures_of(one) if figures else None)
        store.finish_run(run_id)
    return run_id


def test_figures_are_what_the_report_shows(path: Path) -> None:
    rows = plan_run(launches=2, devices=("pi5",)).rows
    fill(path, *rows)
    with Store.open(path) as store:
        shown = report_document(store.run()).rows
    for stored, told in zip(rows, shown, strict=True):
        figures = figures_of(stored)
        assert (figures.outcome, figures.code) == (told.outcome, told.error_code or "")
        assert figures.verdict == (told.verdict.status if told.verdict else None)
        p50 = told.latency_ms.p50 if told.latency_ms else None
        assert figures.p50_ns == (None if p50 is None else pytest.approx(1e6 * p50))
        assert figures.peak_bytes == (told.memory_bytes.peak if told.memory_bytes else None)
        assert figures.quality == (told.quality.value if told.quality else None)


@pytest.mark.parametrize("is_kept_at_once", [True, False])
def test_points_come_in_order_whenever_they_were_derived(path: Path, is_kept_at_once: bool) -> None:
    rows = [row(measured(launch(latencies(4.0 + n, 200)))) for n in range(3)]
    runs = [fill(path, one, figures=is_kept_at_once) for one in rows]
    with Store.open(path) as store:
        assert derive_missing(store, figures_of) == (0 if is_kept_at_once else 3)
        assert derive_missing(store, figures_of) == 0
        (history,) = histories(store)
        assert [point.run_id for point in history.points] == runs
        assert [round(point.p50_ns or 0, -5) for point in history.points] == [4e6, 5e6, 6e6]
        assert {point.project_commit for point in history.points} == {"abc"}
        assert history.series == figures_of(rows[0]).series
        assert "raspberry-pi-5" in history.series.profile and "4 processors" in history.series.unit


def test_figures_of_older_rules_are_derived_again(path: Path) -> None:
    fill(path, row(), row(Failed("gone", "transport")), figures=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE figures SET rules = ?, p50_ns = 1", (RULES - 1,))
    with Store.open(path) as store:
        assert derive_missing(store, figures_of) == 2
        assert [h.points[0].p50_ns for h in histories(store, [("provider", "CPU*")])] == [
            figures_of(row()).p50_ns
        ]


def test_a_series_is_other_when_its_conditions_are() -> None:
    base = row()
    powersave = launch(states=(environment(governor={"policy0": "powersave"}), environment(11.0)))
    others = [
        row(measured(powersave)),
        row(measured(board=device(serial="10000000abcd"))),
        row(measured(board=device(cpu_count=8))),
        row(measured(launch(providers=("XnnpackExecutionProvider", "CPUExecutionProvider")))),
        replace(base, preset="publish"),
        replace(base, cell=replace(base.cell, recipe="int8")),
    ]
    ids = {figures_of(one).series.series_id for one in [base, *others]}
    assert len(ids) == 1 + len(others)
    newer = measured(board=device(system="Linux 6.12", hostname="renamed", python="3.13.1"))
    assert figures_of(row(newer)).series == figures_of(base).series


def test_series_are_found_by_patterns_that_are_text(path: Path) -> None:
    cells = [Cell(w, "fp32", d, "p", "onnxruntime") for w in ("a", "a[1]") for d in ("pi5", "pi4")]
    fill(path, *(row(cell=cell) for cell in cells), figures=True)
    with Store.open(path) as store:

        def found(*wanted: tuple[str, str]) -> set[tuple[str, str]]:
            return {(h.series.workload, h.series.device) for h in histories(store, wanted)}

        assert found(("device", "pi*")) == {(c.workload, c.device) for c in cells}
        assert found(("device", "pi5"), ("workload", "a")) == {("a", "pi5")}
        assert found(("workload", "%' OR 1=1 --")) == set()


def test_hostile_text_is_harmless_in_figures(path: Path) -> None:
    hostile = row(Failed(HOSTILE, HOSTILE), cell=Cell(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE))
    named = row(measured(board=device(board=HOSTILE, system=HOSTILE, serial=HOSTILE)))
    fill(path, hostile, named)
    with Store.open(path) as store:
        derive_missing(store, figures_of)
        told = [f"{h.series} {h.points}" for h in histories(store)]
    assert len(told) == 2
    assert not any(c in text for text in told for c in "\x1b\x07\u202e\ud800\r\n")


def test_runs_are_found_by_when_they_began(path: Path) -> None:
    ids = [fill(path, row()) for _ in range(3)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET started_at = '2020-01-01T00:00:00+00:00' WHERE number = 3")
    with Store.open(path) as store:
        assert find_run(store).run_id == ids[1]
        assert find_run(store, ids[2]).run_id == ids[2]
        assert [run.run_id for run in all_runs(store)] == [ids[2], ids[0], ids[1]]
        before = runs_before(store, find_run(store), 5)
        assert [run.run_id for run in before] == [ids[0], ids[2]]
        with pytest.raises(ConfigError, match="no run 'nonsense'"):
            find_run(store, "nonsense")


def test_an_empty_store_has_no_latest_run(path: Path) -> None:
    with Store.open(path) as store, pytest.raises(ConfigError, match="no run is stored yet"):
        find_run(store)


def test_a_damaged_row_is_named(path: Path) -> None:
    run_id = fill(path, row(), row(Skipped("no")))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE rows SET body = '{}' WHERE position = 1")
    with (
        Store.open(path) as store,
        pytest.raises(StoreError, match=rf"row 1 of run {run_id} is damaged.*store check"),
    ):
        derive_missing(store, figures_of)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_a_store_of_every_earlier_version_is_upgraded(path: Path, revision: str) -> None:
    old = row(measured(launch(latencies(4.0, 200))))
    store_of_revision(path, revision, old)
    with Store.open(path) as store:
        assert store.run().rows == (old,)
        assert store.run().run.project_commit == "" and not store.run().run.is_baseline
        assert derive_missing(store, figures_of) == 1
        (history,) = histories(store)
        assert history.points[0].p50_ns == figures_of(old).p50_ns
        assert store.begin_run("new", "", "quick") > "20250101"


def test_only_so_much_is_read_of_other_runs(path: Path) -> None:
    first, second = fill(path, row(), figures=True), fill(path, row(), row(Skipped("no")), figures=True)
    with Store.open(path) as store:
        assert len(points_of(store, [second])) == 2
        assert len(points_of(store, [first, second])) == 3
        assert points_of(store, []) == []
