"""What every database must do: nothing is lost, nothing is there twice, whoever writes at the same time."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.devices.postgres import Postgres
from tests.fakes import HOSTILE, latencies, launch, measured, plan_run, row
from tests.stores import OLD_RUN, execute, store_of_revision

from edgewright.errors import ConfigError, StoreError
from edgewright.report.figures import figures_of
from edgewright.row import Cell, Failed, Row, Skipped
from edgewright.store import Baselines, Boards, CellTimes, Leases, Slower, Store, StoredTrial, Studies
from edgewright.store.check import check
from edgewright.store.nights import newest_runs
from edgewright.store.parquet import export_parquet
from edgewright.store.points import all_runs, derive_missing, find_run, histories, runs_before
from edgewright.store.prune import Keep, mark_baseline, prune
from edgewright.store.schema import newest_revision
from edgewright.store.tables import Base
from edgewright.store.transfer import Moved, export_lines, import_file

T = TypeVar("T")

SHORT = row(measured(launch(latencies(4.0, 100))))
ROWS = (
    SHORT,
    row(Failed(f"{HOSTILE}\0\ud800", "model-rejected"), cell=Cell("w\0", HOSTILE, "d", "p", "r")),
    row(Skipped("no")),
)


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as opened:
        yield opened


def fill(store: Store, *rows: Row, name: str = "night", figures: bool = True, days_ago: float = 0) -> str:
    run_id = store.begin_run(name, "[plan]\n", "quick", project_commit="abc")
    for number, one in enumerate(rows):
        store.add_row(run_id, one, f"cell {number}", figures_of(one) if figures else None)
    store.finish_run(run_id)
    if days_ago:
        began = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(timespec="milliseconds")
        with store._write() as session:
            store._record(session, run_id).started_at = began
    return run_id


def at_once(location: str, count: int, work: Callable[[Store, int], T]) -> list[T]:
    """The same at the same moment, each by a store of its own."""
    barrier = Barrier(count)

    def one(number: int) -> T:
        with Store.open(location) as own:
            barrier.wait(30)
            return work(own, number)

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(one, number) for number in range(count)]
    errors = [error for future in futures if (error := future.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, BrokenBarrierError)):
        raise error  # the one that kept the others waiting
    return [future.result() for future in futures]


def test_rows_come_back_in_order_as_they_were(store: Store) -> None:
    rows = (*plan_run(launches=1, devices=("pi5",)).rows, *ROWS)
    run_id = fill(store, *rows)
    found = store.run(run_id[:18])
    assert found.rows == rows and found.run.name == "night" and found.run.finished_at
    assert store.rows_by_key(run_id)["cell 0"] == rows[0]
    (summary,) = store.list_runs()
    assert (summary.measured, summary.failed, summary.skipped) == (24, 1, 2)
    with pytest.raises(ConfigError, match="no run 'nonsense'"):
        store.run("nonsense")


def test_the_migrations_make_the_tables_the_code_uses(store: Store) -> None:
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize("revision", ["0001", "0005"])
def test_an_earlier_store_is_upgraded_by_whoever_comes_first(location: str, revision: str) -> None:
    store_of_revision(location, revision, SHORT)
    found = check(location, figures_of)
    assert (found.revision, found.is_current, found.rows) == (revision, False, 1)
    assert at_once(location, 3, lambda store, _: store.run().rows) == [(SHORT,)] * 3
    assert execute(location, "SELECT version_num FROM alembic_version") == [(newest_revision(),)]
    assert check(location, figures_of).is_current


def test_an_earlier_store_that_holds_a_cell_twice_loses_neither_row(location: str) -> None:
    """Two processes that went on with one run could add both."""
    store_of_revision(location, "0005", SHORT)
    columns = "workload, recipe, device, profile, runtime, outcome, started_at, body, key"
    for position in range(1, 4):
        execute(
            location,
            f"INSERT INTO rows (run_id, position, {columns})"
            f" SELECT run_id, :position, {columns} FROM rows WHERE position = 0",
            position=position,
        )
    execute(location, "UPDATE rows SET key = 'cell 0' WHERE position < 3")
    with Store.open(location) as store:
        assert store.keys(OLD_RUN) == {0: "cell 0", 1: "cell 0+1", 2: "cell 0+2", 3: ""}
        assert store.run().rows == (SHORT,) * 4
    assert check(location, figures_of).problems == ()


def test_a_new_store_is_made_once(location: str) -> None:
    ids = at_once(location, 4, lambda store, _: store.begin_run("a", "", "rapid"))
    assert len(set(ids)) == 4
    assert execute(location, "SELECT version_num FROM alembic_version") == [(newest_revision(),)]


def test_rows_of_many_writers_all_arrive_at_places_of_their_own(location: str) -> None:
    with Store.open(location) as store:
        ids = [store.begin_run(str(n), "", "rapid") for n in range(2)]

    def add(own: Store, number: int) -> None:
        for count in range(4):
            own.add_row(ids[number % 2], SHORT, f"{number}/{count}", figures_of(SHORT))

    at_once(location, 4, add)
    for run_id in ids:
        query = "SELECT position FROM rows WHERE run_id = :run ORDER BY position"
        assert execute(location, query, run=run_id) == [(n,) for n in range(8)]
    assert check(location, figures_of).figures == 16


def test_a_cell_has_one_row_whoever_adds_it(location: str) -> None:
    with Store.open(location) as store:
        run_id = store.begin_run("night", "", "rapid")

    def add(own: Store, _: int) -> bool:
        try:
            own.add_row(run_id, SHORT, "cell 1", figures_of(SHORT))
        except StoreError as error:
            assert "cannot be written" in str(error) and "\n" not in str(error)
            return False
        return True

    assert sorted(at_once(location, 4, add)) == [False, False, False, True]
    with Store.open(location) as store:
        assert store.run().rows == (SHORT,)
        for _ in range(2):  # without a key, every row is one more
            store.add_row(run_id, SHORT)


def test_a_board_is_taken_by_one_and_then_the_next(location: str) -> None:
    boards = [f"board{n}" for n in range(5)]

    def take(own: Store, number: int) -> list[str]:
        leases = Leases(own, str(number))
        return [board for board in boards if leases.take(board) is None]

    taken = at_once(location, 4, take)
    assert sorted(board for found in taken for board in found) == boards


def test_a_run_that_was_cut_short_is_taken_over_once(location: str) -> None:
    with Store.open(location) as store:
        run_id = store.begin_run("night", "", "rapid", "request")
    gone = json.dumps({"host": socket.gethostname(), "pid": 1 << 22, "started": 1.0})
    execute(location, "UPDATE runs SET process = :gone", gone=gone)
    hour = timedelta(hours=1)
    found = at_once(location, 4, lambda own, _: own.interrupted_run("request", within=hour))
    assert [run.run_id for run in found if run] == [run_id]


_WRITER = """
import sys
from edgewright.store import Leases, Store
with Store.open(sys.argv[1]) as store:
    Leases(store, "other").take("pi")
    with store._write() as session:
        session.connection()
        print("writing", flush=True)
        sys.stdin.readline()
"""


def test_a_writer_that_is_killed_keeps_nobody_waiting(store: Store, location: str) -> None:
    words = [sys.executable, "-c", _WRITER, location]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    begun = datetime.now(UTC)
    assert Leases(store, "mine").take("pi") is None
    assert datetime.now(UTC) - begun < timedelta(seconds=5)


def test_a_reader_sees_no_half_of_a_transaction(store: Store, location: str) -> None:
    run_id = fill(store, SHORT)
    with Store.open(location) as other:
        with pytest.raises(RuntimeError), store._write() as session:
            store._record(session, run_id).name = "half"
            session.flush()
            assert other.run().run.name == "night"
            raise RuntimeError
        assert other.run().run.name == "night"


def test_boards_and_times_are_remembered(store: Store) -> None:
    boards, times = Boards(store), CellTimes(store)
    assert boards.count_failures("pi:22", "pi", 2).failures == 2
    state = boards.quarantine("pi:22", "pi", "gone")
    assert state.is_quarantined and abs((state.quarantined_at or 0) - datetime.now().timestamp()) < 60
    assert boards.quarantine("pi:22", "pi", "again").reason == "gone"
    assert not boards.checked("pi:22", "pi", "well", is_healthy=True).is_quarantined
    assert [found.board for found in boards.all()] == ["pi:22"]
    times.add(["a", "b"], 10.0)
    times.add(["a"], 20.0)
    assert times.known(["a", "b", "c"]) == {"a": 15.0, "b": 10.0}


def test_baselines_leave_out_what_was_slower(store: Store) -> None:
    ids = [fill(store, SHORT) for _ in range(3)]
    baselines = Baselines(store)
    baselines.mark_slower(ids[1], {"cell 0": Slower(ids[0], 1.5)})
    assert [run.run_id for run, _ in baselines.earlier(ids[2], SHORT)] == [ids[0]]
    assert baselines.accept(ids[1]) == 1
    assert [run.run_id for run, _ in baselines.earlier(ids[2], SHORT)] == [ids[1], ids[0]]


def test_studies_go_on(store: Store) -> None:
    run_id, studies = store.begin_run("tune", "", "rapid"), Studies(store)
    studies.begin(run_id, "request", "{}")
    for state in ("chosen", "measured"):
        studies.put(run_id, StoredTrial("pi", 0, state, "cell", f'{{"state": "{state}"}}'))
    assert [trial.state for trial in studies.trials(run_id)] == ["measured"]
    before = studies.measured_before("cell", within=timedelta(hours=1))
    assert before is not None and before.device == "pi"
    assert studies.get(run_id[:18]).run.run_id == run_id
    assert studies.interrupted("request", within=timedelta(hours=1)) is None


def test_histories_are_in_the_order_in_which_runs_began(store: Store, location: str) -> None:
    ids = [fill(store, SHORT, figures=n > 0) for n in range(4)]
    moments = ("00:00.500+00:00", "00:00+00:00", "00:00.050+00:00", "00:01+00:00")
    for run_id, moment in zip(ids, moments, strict=True):
        at = f"2025-01-01T00:{moment}"
        execute(location, "UPDATE runs SET started_at = :at WHERE run_id = :run", at=at, run=run_id)
    assert derive_missing(store, figures_of) == 1
    order = [ids[1], ids[2], ids[0], ids[3]]
    assert [run.run_id for run in all_runs(store)] == order
    (history,) = histories(store, [("device", "p*")])
    assert [point.run_id for point in history.points] == order
    (until,) = histories(store, until="2025-01-01T00:00:00.100+00:00")
    assert [point.run_id for point in until.points] == order[:2]
    assert find_run(store).run_id == ids[3]
    assert [run.run_id for run in runs_before(store, find_run(store, ids[0]), 5)] == order[1::-1]
    newest = newest_runs(store, each=2, names=1)
    assert [(one.run.run_id, one.rows) for one in newest] == [(order[3], 1), (order[2], 1)]


def test_a_history_that_is_read_slowly_is_read_to_its_end(
    store: Store, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows come a few at a time, while others write."""
    monkeypatch.setattr("edgewright.store.points._BATCH", 2)
    cells = [Cell(f"w{n}", "fp32", "d", "p", "onnxruntime") for n in range(6)]
    rows = [row(Skipped("no"), cell=cell) for cell in cells]
    fill(store, *rows)
    found = 0
    with Store.open(location) as other:
        for _ in histories(store):
            fill(other, rows[0], name="meanwhile")
            found += 1
    assert found == 6


def test_old_runs_go_and_new_series_come_at_the_same_time(location: str) -> None:
    with Store.open(location) as store:
        kept = fill(store, SHORT, days_ago=40)
        mark_baseline(store, kept)
        fill(store, *ROWS, days_ago=30)

    def work(own: Store, number: int) -> None:
        if number == 0:
            for _ in range(5):
                prune(own, Keep(days=1), {})
        else:
            for count in range(3):
                run_id = own.begin_run("night", "", "rapid")
                one = row(Skipped("no"), cell=Cell(f"w{count}", "fp32", "d", "p", "onnxruntime"))
                own.add_row(run_id, one, "cell", figures_of(one))

    at_once(location, 4, work)
    with Store.open(location) as store:
        prune(store, Keep(days=1), {})
    found = check(location, figures_of)
    assert found.problems == () and (found.runs, found.rows, found.figures) == (10, 10, 10)
    with Store.open(location) as store:
        done = prune(store, Keep(runs=1), {}, dry_run=True)
        assert {run.run_id: why for run, why in done.kept}[kept] == "marked as a baseline"


def test_what_is_wrong_is_named_and_nothing_is_written(store: Store, location: str) -> None:
    fill(store, *ROWS)
    whole = check(location, figures_of)
    assert whole.problems == () and whole.is_current and whole.figures == 3
    execute(location, "UPDATE figures SET p50_ns = p50_ns * 1.001 WHERE position = 0")
    execute(location, "UPDATE rows SET body = 'nonsense' WHERE position = 1")
    before = execute(location, "SELECT number, body FROM rows ORDER BY number")
    found = check(location, figures_of)
    assert {problem.kind for problem in found.problems} == {"figures", "row"}
    assert execute(location, "SELECT number, body FROM rows ORDER BY number") == before


def test_results_move_to_the_other_database_without_loss(
    store: Store, tmp_path: Path, postgres: Postgres
) -> None:
    ids = [fill(store, *ROWS), fill(store, SHORT, name=HOSTILE)]
    files = [tmp_path / "all.jsonl", tmp_path / "again.jsonl"]
    assert export_lines(store, files[0], ids) == Moved(2, 4)
    is_server = store.location.startswith("postgresql")
    with Store.open(tmp_path / "other.sqlite" if is_server else postgres.database()) as other:
        assert import_file(other, files[0]) == Moved(2, 4)
        assert import_file(other, files[0]) == Moved(0, 0, 2, 4)
        export_lines(other, files[1], ids)
        derive_missing(other, figures_of)
        export_parquet(other, tmp_path / "all.parquet", ids)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_another_program_s_database_is_refused_untouched(location: str) -> None:
    execute(location, "CREATE TABLE bookmarks (url TEXT)")
    for use in (Store.open, lambda where: check(where, figures_of)):
        with pytest.raises(StoreError, match=r"it holds other tables .bookmarks."):
            use(location)


def test_a_newer_store_is_refused_untouched(location: str) -> None:
    Store.open(location).close()
    execute(location, "UPDATE alembic_version SET version_num = '9999'")
    for use in (Store.open, lambda where: check(where, figures_of)):
        with pytest.raises(StoreError, match=r"written by a newer Edgewright .schema '9999'.*upgrade"):
            use(location)
    assert execute(location, "SELECT version_num FROM alembic_version") == [("9999",)]
