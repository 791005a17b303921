"""Checking, pruning, exporting and importing: nothing lost, nothing made worse, nothing foreign believed."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import HOSTILE, latencies, launch, measured, row
from tests.stores import OLD_RUN, store_of_revision

from edgewright.errors import ConfigError, EdgewrightError, StoreError
from edgewright.report.figures import figures_of
from edgewright.row import Cell, Failed, Row, Skipped
from edgewright.store import Store
from edgewright.store.check import NAMED, check
from edgewright.store.lines import LONGEST_LINE, read_lines
from edgewright.store.points import derive_missing, histories
from edgewright.store.prune import Keep, mark_baseline, prune
from edgewright.store.transfer import Moved, export_lines, import_file

SHORT = row(measured(launch(latencies(4.0, 60))))
ROWS = (
    SHORT,
    row(Failed(HOSTILE, "model-rejected"), cell=Cell("w", HOSTILE, "d", "p", "r")),
    row(Skipped("no")),
)


def fill(path: Path, *rows: Row, days_ago: float = 0, name: str = "night", is_finished: bool = True) -> str:
    with Store.open(path) as store:
        run_id = store.begin_run(name, "[plan]\n", "quick", project_commit="abc")
        for number, one in enumerate(rows):
            store.add_row(run_id, one, f"cell {number}", figures_of(one))
        if is_finished:
            store.finish_run(run_id)
    began = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(timespec="milliseconds")
    execute(path, "UPDATE runs SET started_at = ? WHERE run_id = ?", began, run_id)
    return run_id


def execute(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def settled(path: Path) -> bytes:
    """The file's bytes, once what waits in the journal is in it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def test_a_whole_store_is_whole_and_is_not_written_to(path: Path) -> None:
    fill(path, *ROWS)
    before = settled(path)
    found = check(path, figures_of)
    assert (found.runs, found.rows, found.figures, found.not_derived) == (1, 3, 3, 0)
    assert found.problems == () and found.is_current and found.remark == ""
    assert path.read_bytes() == before


def test_check_makes_no_store(path: Path) -> None:
    with pytest.raises(ConfigError, match="no such store"):
        check(path, figures_of)
    assert not path.exists()


@pytest.mark.parametrize(
    ("statement", "kind", "what"),
    [
        ("UPDATE rows SET body = '{\"format\": 1}' WHERE position = 0", "row", "lacks"),
        ("UPDATE rows SET outcome = 'failed' WHERE position = 0", "row", "says 'failed'"),
        ("UPDATE figures SET p50_ns = p50_ns * 1.001 WHERE position = 0", "figures", "p50_ns"),
        ("UPDATE figures SET verdict = 'noisy' WHERE position = 0", "figures", "verdict"),
        ("UPDATE series SET device = 'other'", "figures", "device"),
        ("DELETE FROM runs", "orphan", "belongs to no row of runs"),
        ("UPDATE runs SET name = x'ff'", "run", "name is no text"),
        ("UPDATE runs SET started_at = 'yesterday'", "run", "started_at is no moment: 'yesterday'"),
        ("UPDATE runs SET finished_at = '2026-01-01T00:00:00'", "run", "finished_at is no moment"),
        ("UPDATE runs SET name = CAST(x'ff' AS TEXT)", "damage", ""),
        ("DROP TABLE figures", "schema", "the table is not there"),
        ("DROP TABLE rows", "schema", "the table is not there"),
        ("DROP TABLE leases", "schema", "the table is not there"),
        ("ALTER TABLE runs DROP COLUMN project_commit", "schema", "it has no column project_commit"),
        ("DROP INDEX ix_rows_run_id_key", "schema", "it has no index ix_rows_run_id_key"),
        ("DELETE FROM series", "orphan", "belongs to no row of series"),
    ],
)
def test_what_is_wrong_is_named(path: Path, statement: str, kind: str, what: str) -> None:
    fill(path, *ROWS)
    execute(path, statement)
    before = settled(path)
    found = check(path, figures_of)
    assert any(problem.kind == kind and what in problem.what for problem in found.problems), found.problems
    assert path.read_bytes() == before


def test_a_store_where_nothing_can_be_written_is_checked_and_imported(path: Path, tmp_path: Path) -> None:
    """As from a backup that is mounted read-only, in a namespace of a process of its own."""
    place = tmp_path / "backup %?#"
    place.mkdir()
    fill(path, *ROWS)
    settled(path)
    shutil.copy(path, place / "store.sqlite")
    able = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if able.returncode:
        pytest.skip("no namespaces here")
    script = (
        'set -e; mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"\n'
        'edgewright() { "$PYTHON" -c "from edgewright.cli.main import main; main()" "$@"; }\n'
        'edgewright store check --store "$1/store.sqlite"\n'
        'edgewright store import "$1/store.sqlite" --store "$2"\n'
    )
    words = ["unshare", "-rm", "sh", "-c", script, "sh", str(place), str(tmp_path / "new")]
    environ = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    assert "whole: 1 runs, 3 rows" in done.stdout and "1 runs and 3 rows are new" in done.stdout
    assert [one.name for one in place.iterdir()] == ["store.sqlite"]


def test_many_problems_are_counted_and_some_named(path: Path) -> None:
    fill(path, *[row(Skipped("no"))] * (NAMED + 5))
    execute(path, "UPDATE rows SET body = 'nonsense'")
    found = check(path, figures_of)
    assert len(found.problems) == NAMED and found.total == NAMED + 5


def test_rows_without_figures_are_no_problem(path: Path) -> None:
    fill(path, *ROWS)
    execute(path, "DELETE FROM figures WHERE position = 1")
    found = check(path, figures_of)
    assert found.problems == () and (found.figures, found.not_derived) == (2, 1)


def damaged(path: Path) -> bytes:
    """A store with a page of zeros amid its rows, too large to be read whole when it is opened."""
    fill(path, *[row(measured(launch(latencies(4.0, 3000))))] * 4)
    whole = settled(path)
    at = whole.index(b'"earlier"') // 4096 * 4096
    path.write_bytes(whole[:at] + b"\x5a" * 8192 + whole[at + 8192 :])
    return path.read_bytes()


def test_damage_is_told_and_not_made_worse(path: Path) -> None:
    before = damaged(path)
    found = check(path, figures_of)
    assert any(problem.kind in ("damage", "row") for problem in found.problems)
    assert path.read_bytes() == before


def test_a_file_that_ends_within_a_page_is_damaged(path: Path) -> None:
    """SQLite takes what is cut off for zeros, and finds nothing amiss."""
    fill(path, *ROWS)
    path.write_bytes(settled(path)[:-100])
    before = path.read_bytes()
    assert "the file ends within a page" in {problem.what for problem in check(path, figures_of).problems}
    with pytest.raises(StoreError, match="is damaged: the file ends within a page"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_page_that_is_half_written_is_in_the_journal(path: Path) -> None:
    """As a checkpoint leaves it that found the disk full."""
    run_id = fill(path, *ROWS)
    with Store.open(path) as store:
        store.add_row(run_id, SHORT, "more")
        journal = path.with_name(f"{path.name}-wal").read_bytes()
        whole = path.read_bytes()
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(whole + b"\0" * 100)
    copy.with_name("copy.sqlite-wal").write_bytes(journal)
    with Store.open(copy) as store:
        assert len(store.run(run_id).rows) == 4


def test_a_run_whose_name_is_no_text_is_one_line(path: Path) -> None:
    fill(path, *ROWS)
    execute(path, "UPDATE runs SET name = x'ff'")
    with Store.open(path) as store, pytest.raises(StoreError, match="is damaged: its name is no text"):
        store.run()


def test_a_damaged_store_is_not_pruned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, SHORT)
    fill(path, *[row(measured(launch(latencies(4.0, 3000))))] * 4)
    whole = settled(path)
    path.write_bytes(whole[:8192] + b"\x5a" * 4096 + whole[12288:])
    before = path.read_bytes()
    monkeypatch.setattr("edgewright.store.schema.CHECKED_BYTES", 0)
    with pytest.raises(StoreError), Store.open(path) as store:
        prune(store, Keep(runs=1), {})
    assert path.read_bytes() == before


def test_old_runs_are_dropped_with_all_that_is_theirs(path: Path) -> None:
    old, new = fill(path, *ROWS, days_ago=30), fill(path, SHORT, days_ago=1)
    with Store.open(path) as store:
        tried = prune(store, Keep(days=7), {}, dry_run=True)
        assert [run.run_id for run in tried.dropped] == [old] and tried.rows == 3
        assert len(store.list_runs()) == 2
        done = prune(store, Keep(days=7), {})
        assert (done.dropped, done.rows) == (tried.dropped, 3)
        assert [one.run.run_id for one in store.list_runs()] == [new]
        assert len(list(histories(store))) == 1
        assert prune(store, Keep(days=7), {}).dropped == ()
    found = check(path, figures_of)
    assert found.problems == () and (found.runs, found.rows, found.figures) == (1, 1, 1)


def test_the_space_is_given_back(path: Path) -> None:
    big = row(measured(*[launch(latencies(4.0, 20_000, seed=n)) for n in range(4)]))
    fill(path, big, big, days_ago=9)
    fill(path, SHORT)
    before = len(settled(path))
    with Store.open(path) as store:
        freed = prune(store, Keep(runs=1), {}).freed_bytes
    assert freed == before - len(settled(path)) > 0.5 * before


def test_some_runs_stay_however_old(path: Path) -> None:
    marked, needed, going_on, plain, newest = (
        fill(path, SHORT, days_ago=50 - n, is_finished=n != 2) for n in range(5)
    )
    with Store.open(path) as store:
        assert mark_baseline(store, marked).is_baseline
        done = prune(store, Keep(days=0), {needed: "a change rests on it"})
        assert [run.run_id for run in done.dropped] == [plain]
        assert {run.run_id: why for run, why in done.kept} == {
            marked: "marked as a baseline",
            needed: "a change rests on it",
            going_on: "still goes on",
        }
        mark_baseline(store, marked, is_baseline=False)
        assert [run.run_id for run in prune(store, Keep(runs=1), {}).dropped] == [marked, needed]
        assert newest in {one.run.run_id for one in store.list_runs()}


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_what_goes_out_comes_in_without_loss(path: Path, tmp_path: Path, name: str) -> None:
    ids = [fill(path, *ROWS), fill(path, SHORT, name=HOSTILE, is_finished=False)]
    file, again, other = tmp_path / name, tmp_path / f"again-{name}", tmp_path / "other.sqlite"
    with Store.open(path) as store:
        assert export_lines(store, file, ids) == Moved(2, 4)
        originals = [store.run(run_id) for run_id in ids]
    with Store.open(other) as store:
        assert import_file(store, file) == Moved(2, 4)
        assert [store.run(run_id) for run_id in ids] == originals
        assert store.rows_by_key(ids[0]) == {f"cell {n}": one for n, one in enumerate(ROWS)}
        assert import_file(store, file) == Moved(0, 0, runs_there=2, rows_there=4)
        derive_missing(store, figures_of)
        export_lines(store, again, ids)
    opener = gzip.open if name.endswith(".gz") else open
    with opener(file, "rb") as a, opener(again, "rb") as b:
        assert a.read() == b.read()
    assert check(other, figures_of).problems == ()


@pytest.mark.parametrize("revision", ["0001", "head"])
def test_another_store_comes_in_and_stays_as_it_is(path: Path, tmp_path: Path, revision: str) -> None:
    store_of_revision(path, revision, SHORT)
    before = path.read_bytes()
    with Store.open(tmp_path / "other.sqlite") as store:
        mine = store.begin_run("mine", "", "quick")
        store.add_row(mine, ROWS[1])
        assert import_file(store, path) == Moved(1, 1)
        assert store.run(OLD_RUN).rows == (SHORT,) and store.run(mine).rows == (ROWS[1],)
    assert path.read_bytes() == before


def test_an_older_store_is_checked_without_upgrading_it(path: Path) -> None:
    store_of_revision(path, "0002", SHORT)
    before = path.read_bytes()
    found = check(path, figures_of)
    assert found.problems == () and (found.revision, found.is_current) == ("0002", False)
    assert (found.rows, found.not_derived) == (1, 1)
    assert path.read_bytes() == before


def test_an_import_that_was_cut_short_is_gone_on_with(path: Path, tmp_path: Path) -> None:
    run_id = fill(path, *ROWS)
    file, other = tmp_path / "all.jsonl", tmp_path / "other.sqlite"
    with Store.open(path) as store:
        export_lines(store, file, [run_id])
    with Store.open(other) as store:
        import_file(store, file)
    execute(other, "DELETE FROM rows WHERE position = 2")
    execute(other, "UPDATE runs SET finished_at = NULL")
    with Store.open(other) as store:
        assert import_file(store, file) == Moved(0, 1, runs_there=1, rows_there=2)
        assert store.run().rows == ROWS and store.run().run.finished_at


def lines_of(path: Path, tmp_path: Path) -> list[str]:
    file = tmp_path / "all.jsonl"
    with Store.open(path) as store:
        export_lines(store, file, [fill(path, SHORT, row(Skipped("no")))])
    return file.read_text().splitlines()


@pytest.mark.parametrize(
    ("place", "text", "match"),
    [
        (0, "", "line 1: not JSON"),
        (0, "{}", "not results in lines"),
        (0, '{"edgewright": "store/2"}', "not results in lines"),
        (1, '{"run": {"run_id": "x"}}', "line 2: run.name: Field required"),
        (1, '{"run": 1}', "line 2: run"),
        (1, '{"neither": 1}', "line 2: neither"),
        (2, "[" * 100_000, "line 3: not JSON"),
        (2, '{"row": {"run_id": "other", "position": 0, "body": {}}}', "line 3"),
        (2, '{"row": {"run_id": 1, "position": -1, "body": {}}}', "without a run, a position or a key"),
        (3, '{"row": {"run_id": "x", "position": 1.5, "body": {}}}', "line 4"),
        (3, '{"row": 5}', "without a body"),
        (3, "\x00", "line 4: not JSON"),
    ],
)
def test_a_file_that_is_none_adds_nothing(
    path: Path, tmp_path: Path, place: int, text: str, match: str
) -> None:
    lines = lines_of(path, tmp_path)
    lines[place] = text
    file = tmp_path / "bad.jsonl"
    file.write_text("\n".join(lines) + "\n")
    with Store.open(tmp_path / "other.sqlite") as store:
        with pytest.raises(ConfigError, match=match) as caught:
            import_file(store, file)
        assert "\n" not in str(caught.value)
        assert store.list_runs() == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [("run_id", "../../x"), ("run_id", "x" * 40), ("started_at", "yesterday"), ("started_at", "2026-01-01")],
)
def test_a_run_that_cannot_be_is_refused(path: Path, tmp_path: Path, field: str, value: str) -> None:
    lines = lines_of(path, tmp_path)
    run = json.loads(lines[1])
    run["run"][field] = value
    file = tmp_path / "bad.jsonl"
    file.write_text("\n".join([lines[0], json.dumps(run)]))
    with Store.open(tmp_path / "other.sqlite") as store, pytest.raises(ConfigError, match="line 2"):
        import_file(store, file)


def test_another_run_or_row_under_the_same_name_is_refused(path: Path, tmp_path: Path) -> None:
    lines = lines_of(path, tmp_path)
    file = tmp_path / "all.jsonl"
    for statement, match in (
        ("UPDATE rows SET body = (SELECT body FROM rows WHERE position = 1)", "another row is stored"),
        ("UPDATE runs SET name = 'other'", "another run is stored"),
    ):
        execute(path, statement)
        with Store.open(path) as store, pytest.raises(StoreError, match=match):
            import_file(store, file)
    assert len(lines) == 4


def test_a_cell_that_comes_twice_is_refused_before_anything_is_added(path: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in lines_of(path, tmp_path)]
    lines[3]["row"]["key"] = lines[2]["row"]["key"]
    file, other = tmp_path / "twice.jsonl", tmp_path / "other.sqlite"
    file.write_text("\n".join(map(json.dumps, lines)))
    with Store.open(other) as store:
        with pytest.raises(ConfigError, match="line 4: a second row of the cell 'cell 0'"):
            import_file(store, file)
        assert store.list_runs() == ()
        file.write_text("\n".join(map(json.dumps, lines[:3])))
        import_file(store, file)
        lines[2]["row"]["position"] = 7
        file.write_text("\n".join(map(json.dumps, lines[:3])))
        with pytest.raises(StoreError, match="the cell 'cell 0' is stored as row 0 of run"):
            import_file(store, file)


def test_a_table_is_not_imported(path: Path, tmp_path: Path) -> None:
    (tmp_path / "all.parquet").write_bytes(b"PAR1\xb5 and so on")
    with Store.open(path) as store, pytest.raises(ConfigError, match="a Parquet table, which is for other"):
        import_file(store, tmp_path / "all.parquet")


def test_a_file_cut_short_or_too_long_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of(path, tmp_path)
    packed = gzip.compress("\n".join(lines).encode())
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(packed[: len(packed) // 2])
    with Store.open(tmp_path / "other.sqlite") as store:
        with pytest.raises(ConfigError, match="the file is damaged"):
            import_file(store, file)
        monkeypatch.setattr("edgewright.store.lines.LONGEST_LINE", 100)
        file.write_bytes(packed)
        with pytest.raises(ConfigError, match="longer than any row"):
            import_file(store, file)
        assert store.list_runs() == ()
    assert LONGEST_LINE > 1 << 28


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 40))
def test_any_altered_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("altered")
    path, file = folder / "store.sqlite", folder / "all.jsonl"
    run_id = fill(path, row(Skipped("no")), row(Failed("x", "busy")))
    with Store.open(path) as store:
        export_lines(store, file, [run_id])
    whole = file.read_bytes()
    file.write_bytes(whole[:at] + noise + whole[at + length :])
    try:
        found = list(read_lines(file, is_gzip=False))
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    assert len(found) <= len(whole.splitlines()) + noise.count(b"\n")


def test_a_failed_export_leaves_the_old_file(path: Path, tmp_path: Path) -> None:
    run_id = fill(path, *ROWS)
    execute(path, "UPDATE rows SET body = '{}' WHERE position = 2")
    file = tmp_path / "out" / "all.jsonl"
    file.parent.mkdir()
    file.write_text("kept")
    with Store.open(path) as store, pytest.raises(StoreError, match="damaged"):
        export_lines(store, file, [run_id])
    assert file.read_text() == "kept" and list(file.parent.iterdir()) == [file]
    shutil.rmtree(file.parent)
    file.parent.write_text("a file")
    with Store.open(path) as store, pytest.raises(EdgewrightError, match="cannot be written"):
        export_lines(store, file, [])


def test_a_table_for_other_programs(path: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    from edgewright.store.parquet import export_parquet

    ids = [fill(path, *ROWS), fill(path, SHORT, name=HOSTILE)]
    file = tmp_path / "all.parquet"
    with Store.open(path) as store:
        assert export_parquet(store, file, ids) == Moved(2, 4)
    table = parquet.read_table(file).to_pylist()
    assert [line["outcome"] for line in table] == ["measured", "failed", "skipped", "measured"]
    assert table[0]["p50_ns"] == figures_of(SHORT).p50_ns and table[1]["p50_ns"] is None
    assert table[0]["run_id"] == ids[0] and table[0]["edgewright"] and table[0]["project_commit"] == "abc"
    from edgewright.store.rowcodec import row_from_json

    assert [row_from_json(line["body"]) for line in table] == [*ROWS, SHORT]
