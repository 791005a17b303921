"""The store: nothing is lost, nothing foreign is touched."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import socket
import sqlite3
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from tests.fakes import HOSTILE, launch, measured, plan_run, row

from edgewright.artifact import Quality
from edgewright.errors import ConfigError, StoreError
from edgewright.row import ArtifactInfo, Cell, Failed, Measured, Row, Skipped
from edgewright.store import Store, default_location, schema
from edgewright.store.process import may_live, this_process
from edgewright.store.rowcodec import row_from_json, row_to_json
from edgewright.store.tables import Base
from edgewright_agent import protocol
from edgewright_agent.protocol import Samples

TEXT = st.text(max_size=40) | st.sampled_from(["", HOSTILE, "\ud800", "\0", "é\u2028"])
FINITE = st.floats(allow_nan=False, allow_infinity=False)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)

st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, FINITE)
st.register_type_strategy(int, INT64)
st.register_type_strategy(Samples, st.lists(INT64, max_size=60).map(Samples))

OUTCOMES = (
    st.builds(
        Measured,
        st.lists(st.builds(protocol.RunResult), max_size=2).map(tuple),
        st.builds(protocol.Device),
    )
    | st.builds(Failed)
    | st.builds(Skipped)
)
ROWS = st.builds(
    Row,
    cell=st.builds(Cell),
    outcome=OUTCOMES,
    preset=TEXT,
    started_at=TEXT,
    artifact=st.none() | st.builds(ArtifactInfo),
    quality=st.none() | st.builds(Quality, value=FINITE | st.just(float("inf"))),
    notes=st.lists(TEXT, max_size=3).map(tuple),
    providers=st.lists(TEXT, max_size=3).map(tuple),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "store.sqlite"


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_a_row_comes_back_as_it_was(original: Row) -> None:
    text = row_to_json(original)
    assert text.isascii()
    assert row_from_json(text) == original


def test_samples_come_back_as_samples_so_that_they_are_packed_again() -> None:
    original = row(measured(launch(range(1000, 2000))))
    again = row_from_json(row_to_json(original))
    assert isinstance(again.outcome, Measured)
    timing = again.outcome.launches[0].timing
    assert timing is not None and type(timing.latency_ns) is Samples
    assert row_to_json(again) == row_to_json(original)


def test_a_quality_that_is_not_a_number_is_kept() -> None:
    again = row_from_json(row_to_json(row(quality=Quality("accuracy", float("nan"), 0.9, 10))))
    assert again.quality is not None and again.quality.value != again.quality.value


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_row_is_a_value_error_and_never_another(data: st.DataObject) -> None:
    text = row_to_json(row(measured(launch(range(1000, 1040)))))
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    damaged = text[:start] + data.draw(st.text(max_size=5)) + text[end:]
    try:
        found = row_from_json(damaged)
    except ValueError:
        return
    assert isinstance(found, Row)


def test_a_run_is_read_back_with_its_rows_in_order(path: Path) -> None:
    rows = plan_run(launches=1, devices=("pi5",)).rows
    with Store.open(path) as store:
        run_id = store.begin_run("demo", "[plan]\n", "quick")
        for one in rows:
            store.add_row(run_id, one)
        store.finish_run(run_id)
    with Store.open(path) as store:
        found = store.run()
        assert found.rows == rows
        assert found.run.run_id == run_id and found.run.plan_text == "[plan]\n"
        assert found.run.finished_at is not None
        summary = store.list_runs()[0]
        assert (summary.measured, summary.failed, summary.skipped) == (23, 0, 1)


def test_a_row_is_on_disk_the_moment_it_is_added(path: Path) -> None:
    with Store.open(path) as store:
        run_id = store.begin_run("demo", "", "rapid")
        store.add_row(run_id, row())
        with Store.open(path) as other:
            assert len(other.run(run_id).rows) == 1
            assert other.run().run.finished_at is None


def test_the_latest_run_is_the_last_one_begun_and_prefixes_name_runs(path: Path) -> None:
    with Store.open(path) as store:
        first = store.begin_run("a", "", "rapid")
        second = store.begin_run("b", "", "rapid")
        assert store.run().run.run_id == second
        assert [s.run.name for s in store.list_runs()] == ["b", "a"]
        assert store.run(first[:-1] if first[:-1] != second[:-1] else first).run.name == "a"
        with pytest.raises(ConfigError, match="several runs begin with '2'"):
            store.run("2")
        with pytest.raises(ConfigError, match="no run 'nonsense'"):
            store.run("nonsense")
        with pytest.raises(ConfigError, match="no run '%'"):
            store.run("%")
        with pytest.raises(ConfigError, match="no run"):
            store.add_row("nonsense", row())


def test_an_empty_store_says_how_to_fill_it(path: Path) -> None:
    with Store.open(path) as store, pytest.raises(ConfigError, match="no run is stored yet"):
        store.run()


def test_hostile_text_is_kept(path: Path) -> None:
    hostile = row(Failed(HOSTILE, "model-rejected"), cell=Cell("w", HOSTILE, "d", "p", "r"))
    with Store.open(path) as store:
        run_id = store.begin_run(HOSTILE, HOSTILE + "\0", "rapid")
        store.add_row(run_id, hostile)
        assert store.run().rows == (hostile,)


def _fill(location: str) -> str:
    with Store.open(location) as store:
        run_id = store.begin_run("parallel", "", "rapid")
        for _ in range(5):
            store.add_row(run_id, row(Skipped("no")))
    return run_id


def test_processes_share_one_new_store(path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        ids = pool.map(_fill, [str(path)] * 6)
    with Store.open(path) as store:
        assert {s.run.run_id for s in store.list_runs()} == set(ids)
        assert [s.skipped for s in store.list_runs()] == [5] * 6


def test_sqlite_is_opened_durable_and_strict(path: Path) -> None:
    with Store.open(path) as store, store._engine.connect() as connection:
        read = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert read == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_the_migrations_make_the_tables_the_code_uses(path: Path) -> None:
    Store.open(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def _sqlite(path: Path, *statements: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _refused(path: Path, match: str) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreError, match=match) as caught:
        Store.open(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert caught.value.exit_code == 2
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_untouched(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("not a database, but notes of a person\n")
    _refused(path, "not a SQLite database")


def test_another_programs_database_is_refused_untouched(path: Path) -> None:
    _sqlite(path, "CREATE TABLE bookmarks (url TEXT)")
    _refused(path, "it holds other tables .bookmarks.")


def test_a_newer_store_is_refused_untouched(path: Path) -> None:
    Store.open(path).close()
    _sqlite(path, "UPDATE alembic_version SET version_num = '9999'")
    _refused(path, "written by a newer Edgewright .schema '9999'.*upgrade")


def _newer_migrations(folder: Path, monkeypatch: pytest.MonkeyPatch, *statements: str) -> None:
    """What a later version would ship: today's migrations and one more."""
    migrations = Path(schema.__file__).parent / "migrations"
    shutil.copytree(migrations, folder, ignore=shutil.ignore_patterns("__pycache__"))
    body = "\n".join(f"    op.execute({statement!r})" for statement in statements)
    head = f"from alembic import op\nrevision = '9000'\ndown_revision = {schema.newest_revision()!r}\n"
    (folder / "versions" / "r9000_later.py").write_text(f"{head}def upgrade():\n{body}\n")
    monkeypatch.setattr(schema, "_MIGRATIONS", str(folder))


def test_an_older_store_is_upgraded_and_keeps_its_rows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(path) as store:
        store.add_row(store.begin_run("demo", "", "rapid"), row())
    _newer_migrations(tmp_path / "later", monkeypatch, "ALTER TABLE runs ADD COLUMN host TEXT")
    with Store.open(path) as store:
        assert store.run().rows == (row(),)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9000",)]
        assert connection.execute("SELECT host FROM runs").fetchall() == [(None,)]


def _abandoned(path: Path, **changes: object) -> str:
    """A run of the request ``net`` whose process is gone."""
    with Store.open(path) as store:
        run_id = store.begin_run("demo", "", "rapid", "net")
    values = {
        "process": json.dumps({"host": socket.gethostname(), "pid": 1 << 22, "started": 1.0}),
        **changes,
    }
    with closing(sqlite3.connect(path)) as connection, connection:
        for name, value in values.items():
            connection.execute(f"UPDATE runs SET {name} = ? WHERE run_id = ?", (value, run_id))
    return run_id


def test_a_run_whose_process_died_is_taken_over_once(path: Path) -> None:
    run_id = _abandoned(path)
    hour = timedelta(hours=1)
    with Store.open(path) as store:
        store.add_row(run_id, row(), "cell 1")
        assert store.interrupted_run("another", within=hour) is None
        found = store.interrupted_run("net", within=hour)
        assert found and found.run_id == run_id
        assert store.rows_by_key(run_id) == {"cell 1": row()}
        assert store.interrupted_run("net", within=hour) is None  # this process works on it now


@pytest.mark.parametrize(
    "changes",
    [
        {"finished_at": "2026-01-01T00:00:00+00:00"},
        {"started_at": "2026-01-01T00:00:00+00:00"},
        {"process": json.dumps({"host": "elsewhere", "pid": 1 << 22, "started": 1.0})},
        {"process": json.dumps({"host": socket.gethostname(), "machine": "x", "pid": 1 << 22, "started": 1})},
        {"process": this_process()},
    ],
    ids=["finished", "of another day", "of another host", "of another host of that name", "at work"],
)
def test_a_run_is_not_taken_over_when_it_is(path: Path, changes: dict[str, object]) -> None:
    _abandoned(path, **changes)
    with Store.open(path) as store:
        assert store.interrupted_run("net", within=timedelta(hours=1)) is None


@pytest.mark.parametrize("told", ["", "{}", "[]", '{"host": 1, "pid": "x", "started": null}'])
def test_a_process_that_is_not_told_is_gone(told: str) -> None:
    assert not may_live(told)


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(path) as store:
        store.add_row(store.begin_run("demo", "", "rapid"), row())
    _newer_migrations(
        tmp_path / "later", monkeypatch, "CREATE TABLE half (x INTEGER)", "SELECT * FROM nowhere"
    )
    with pytest.raises(StoreError, match="cannot be opened: no such table: nowhere"):
        Store.open(path)
    monkeypatch.undo()
    with Store.open(path) as store:
        assert store.run().rows == (row(),)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Store.open(path) as store:
        assert store.list_runs() == ()


@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_store_is_refused_untouched(path: Path, damage: str) -> None:
    with Store.open(path) as store:
        run_id = store.begin_run("demo", "", "rapid")
        store.add_row(run_id, row())
    whole = path.read_bytes()
    damaged = (
        whole[: len(whole) // 2] if damage == "truncated" else whole[:4096] + b"\x5a" * 8192 + whole[12288:]
    )
    path.write_bytes(damaged)
    _refused(path, "damaged|malformed")


def test_a_damaged_row_is_told_when_it_is_read(path: Path) -> None:
    with Store.open(path) as store:
        store.add_row(store.begin_run("demo", "", "rapid"), row())
    _sqlite(path, "UPDATE rows SET body = '{\"format\": 1}'")
    with Store.open(path) as store, pytest.raises(StoreError, match=r"row 0 of run .* is damaged"):
        store.run()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(tmp_path / "file" / "store.sqlite")
    with pytest.raises(StoreError, match="cannot be opened: Is a directory"):
        Store.open(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "postgres+nonsense://u:secret@host/db",
        "oracle+oracledb://u:secret@host/db",
        "postgresql://u:a@secret@host/db",
        "postgresql://u:secret@host:port/db",
        "://",
        "nonsense://x",
    ],
)
def test_a_wrong_url_is_a_configuration_error_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Store.open(url)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_driver_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"no database driver.*\(pip install 'edgewright\[postgres\]'\)"):
        Store.open("postgresql://u:secret@host/db")


def test_the_default_location_follows_the_environment(tmp_path: Path) -> None:
    assert default_location({"EDGEWRIGHT_STORE": "x.sqlite", "XDG_DATA_HOME": "/data"}) == "x.sqlite"
    assert default_location({"XDG_DATA_HOME": "/data"}) == "/data/edgewright/store.sqlite"
    assert default_location({"XDG_DATA_HOME": "relative"}).endswith("/.local/share/edgewright/store.sqlite")
    assert default_location({}).endswith("/.local/share/edgewright/store.sqlite")


def test_one_that_comes_while_another_makes_the_store_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself refuses to turn to a write-ahead log then, without waiting."""
    path = tmp_path / "store.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            other.execute("ROLLBACK")

    monkeypatch.setattr(schema, "time", SimpleNamespace(sleep=pause, monotonic=time.monotonic))
    Store.open(path).close()
    assert len(pauses) == 3
    other.close()
