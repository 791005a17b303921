"""``edgewright store``: exit codes, JSON, and files that are whole or not there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from tests.fakes import latencies, launch, measured, row

from edgewright.cli.store import store as command
from edgewright.errors import ConfigError, StoreError
from edgewright.row import Skipped
from edgewright.store import Store

Call = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two runs, stored as a version without figures stored them."""
    found = tmp_path / "store.sqlite"
    with Store.open(found) as store:
        for number in range(2):
            run_id = store.begin_run("night", "", "quick")
            store.add_row(run_id, row(measured(launch(latencies(4.0, 60, seed=number)))))
            store.add_row(run_id, row(Skipped("no")))
            store.finish_run(run_id)
    return found


@pytest.fixture
def call(path: Path) -> Call:
    def run(*words: str, store: Path | None = None) -> Result:
        return CliRunner().invoke(command, [*words, "--store", str(store or path)], standalone_mode=False)

    return run


def ids(path: Path) -> list[str]:
    with Store.open(path) as store:
        return [one.run.run_id for one in reversed(store.list_runs())]


def test_check_says_whole_or_what_is_wrong(call: Call, path: Path) -> None:
    done = call("check")
    assert done.return_value == 0 and "whole: 2 runs, 4 rows, 4 of them without figures yet" in done.output
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE rows SET body = '{}' WHERE number = 1")
    done = call("check")
    assert done.return_value == 1 and f"row 0 of run {ids(path)[0]}" in done.output
    told = json.loads(call("check", "--json").output)
    assert told["total"] == 1 and told["problems"][0]["kind"] == "row"


def test_check_of_what_is_no_store_is_one_line(call: Call, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("a person's notes, which are not to be touched\n")
    assert isinstance(call("check", store=text).exception, StoreError)
    assert text.read_text().startswith("a person's notes")
    assert isinstance(call("check", store=tmp_path / "none.sqlite").exception, ConfigError)
    assert not (tmp_path / "none.sqlite").exists()


def test_prune_tells_what_it_drops(call: Call, path: Path) -> None:
    first, second = ids(path)
    told = json.loads(call("prune", "--keep-runs", "1", "--dry-run", "--json").output)
    assert [run["run"] for run in told["dropped"]] == [first] and told["dry_run"] and told["rows"] == 2
    assert ids(path) == [first, second]
    assert "a baseline, which stays" in call("baseline", first).output
    done = call("prune", "--keep-runs", "1")
    assert f"stays: {first} night: marked as a baseline" in done.output and ids(path) == [first, second]
    assert call("baseline", first, "--remove").exit_code == 0
    assert f"dropped: {first}" in call("prune", "--keep-days", "0").output
    assert ids(path) == [second] and call("check").return_value == 0


@pytest.mark.parametrize("words", [[], ["--keep-days", "1", "--keep-runs", "1"], ["--keep-runs", "0"]])
def test_prune_wants_to_know_what_stays(call: Call, path: Path, words: list[str]) -> None:
    assert isinstance(call("prune", *words).exception, click.UsageError)
    assert len(ids(path)) == 2


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz", "all.parquet"])
def test_export_writes_what_its_name_says(call: Call, path: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert call("export", "-o", str(file)).output == f"{file}: 2 runs, 4 rows\n"
    magic = {".jsonl": b'{"edge', ".gz": b"\x1f\x8b", ".parquet": b"PAR1"}[file.suffix]
    assert file.read_bytes().startswith(magic)
    one = json.loads(call("export", "-o", str(file), "--run", ids(path)[0], "--json").output)
    assert (one["runs"], one["rows"]) == (1, 2)


def test_what_can_be_read_of_a_damaged_store_is_exported(call: Call, tmp_path: Path) -> None:
    path, file = tmp_path / "damaged.sqlite", tmp_path / "one.jsonl"
    with Store.open(path) as store:
        for seed in range(2):
            run_id = store.begin_run("night", "", "quick")
            store.add_row(run_id, row(measured(launch(latencies(4.0, 20_000, seed=seed)))))
    first, second = ids(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    at = whole.rindex(b'"earlier"') // 4096 * 4096
    path.write_bytes(whole[:at] + b"\x5a" * 4096 + whole[at + 4096 :])
    before = path.read_bytes()
    told = call("export", "-o", str(file), "--run", first, store=path)
    assert told.output == f"{file}: 1 runs, 1 rows\n", told
    assert isinstance(call("export", "-o", str(file), "--run", second, store=path).exception, ConfigError)
    assert "damaged" in str(call("export", "-o", str(file), store=path).exception)
    assert path.read_bytes() == before and call("import", str(file), store=tmp_path / "new").exit_code == 0


def test_export_refuses_what_it_cannot_write(call: Call, tmp_path: Path) -> None:
    assert isinstance(call("export", "-o", str(tmp_path / "all.csv")).exception, click.UsageError)
    assert isinstance(call("export", "-o", "/proc/none/all.jsonl").exception, ConfigError)
    unknown = call("export", "-o", str(tmp_path / "all.jsonl"), "--run", "nonsense").exception
    assert isinstance(unknown, ConfigError) and "no run 'nonsense'" in str(unknown)
    assert not (tmp_path / "all.jsonl").exists()


@pytest.mark.parametrize(
    "words",
    [("export", "-o", "all.jsonl"), ("prune", "--keep-runs", "1"), ("baseline", "x")],
    ids=lambda w: w[0],
)
def test_what_only_reads_makes_no_store(call: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = call(*words, store=tmp_path / "mistyped.sqlite")
    assert isinstance(done.exception, ConfigError) and "no such store" in str(done.exception)
    assert not (tmp_path / "mistyped.sqlite").exists()


def test_import_twice_adds_once(call: Call, tmp_path: Path) -> None:
    file, other = tmp_path / "all.jsonl", tmp_path / "other.sqlite"
    call("export", "-o", str(file))
    assert call("import", str(file), store=other).output == "2 runs and 4 rows are new\n"
    again = json.loads(call("import", str(file), "--json", store=other).output)
    assert (again["runs"], again["rows"], again["runs_there"], again["rows_there"]) == (0, 0, 2, 4)
    assert "4 rows\n" in call("check", store=other).output


def test_import_of_nonsense_is_one_line(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("nonsense")
    for name in (file, tmp_path / "none.jsonl"):
        error = call("import", str(name)).exception
        assert isinstance(error, ConfigError) and "\n" not in str(error)
