"""A store on a server: what it must be, what is told when it is not, and that no password is."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError
from tests.devices.postgres import PASSWORD, Postgres, name_in
from tests.fakes import row

from edgewright.errors import StoreError
from edgewright.report.figures import figures_of
from edgewright.store import Store, server
from edgewright.store.check import check
from edgewright.store.location import database_url, shown
from edgewright.store.schema import read_only


def refusal(url: str) -> str:
    """How opening it is refused, in one line without the password."""
    with pytest.raises(StoreError) as caught:
        Store.open(url)
    told = str(caught.value)
    assert caught.value.exit_code == 2 and "\n" not in told
    assert PASSWORD not in told and "secret" not in told
    return told


def test_by_name_and_password(postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = name_in(postgres.database())
    monkeypatch.setenv("EDGEWRIGHT_STORE", postgres.tcp_url(name))
    with Store.open() as store:
        assert store.location == f"postgresql://bench:***@127.0.0.1:{postgres.port}/{name}"
        store.add_row(store.begin_run("night", "", "rapid"), row())
    words = PASSWORD.replace(":", "\\:")
    (tmp_path / "pgpass").write_text(f"127.0.0.1:*:*:bench:{words}\n")
    (tmp_path / "pgpass").chmod(0o600)
    by_file = f"postgresql://bench@127.0.0.1:{postgres.port}/{name}?passfile={tmp_path}/pgpass"
    with Store.open(by_file) as other:
        assert len(other.run().rows) == 1
    found = check(None, figures_of)
    assert (found.location, found.rows) == (store.location, 1)
    assert found.remark == "the database's own pages are its server's to check"


def test_a_server_that_refuses_or_is_not_there(postgres: Postgres) -> None:
    assert 'password authentication failed for user "bench"' in refusal(
        postgres.tcp_url("postgres", "secret")
    )
    assert 'database "none" does not exist' in refusal(postgres.tcp_url("none"))
    assert "Connection refused" in refusal("postgresql://bench:secret@127.0.0.1:1/store")
    told = shown(database_url("postgres://u@h/d?password=secret&sslpassword=secret&sslmode=require"))
    assert told == "postgresql://u@h/d?password=hidden&sslmode=require&sslpassword=hidden"


def test_a_server_that_is_too_old(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "OLDEST", 99)
    url = postgres.database()
    assert "is too old (99 or newer)" in refusal(url)
    assert postgres.ask(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"


def test_a_database_that_cannot_hold_every_character(postgres: Postgres) -> None:
    told = refusal(postgres.database("ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"))
    assert "encoding is LATIN1" in told and told.endswith("(createdb --encoding=UTF8 --template=template0)")


def test_a_check_can_change_nothing(postgres: Postgres) -> None:
    url = postgres.database()
    Store.open(url).close()
    with (
        read_only(database_url(url)) as engine,
        engine.connect() as connection,
        pytest.raises(DatabaseError, match="read-only transaction"),
    ):
        connection.exec_driver_sql("DELETE FROM runs")


def test_a_check_of_nothing_says_so(postgres: Postgres) -> None:
    with pytest.raises(Exception, match="no such store: the database is empty"):
        check(postgres.database(), figures_of)


def test_a_writer_is_not_waited_for_without_end(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WAIT_S", 1)
    with Store.open(postgres.database()) as store, store._write() as session:
        session.connection()
        with pytest.raises(StoreError, match="cannot be written: canceling statement due to lock timeout"):
            store.begin_run("night", "", "rapid")


def test_a_connection_that_broke_is_made_again(postgres: Postgres) -> None:
    with Store.open(postgres.database()) as store:
        run_id = store.begin_run("night", "", "rapid")
        postgres.stop()
        with pytest.raises(StoreError, match="cannot be written"):
            store.add_row(run_id, row(), "cell")
        postgres.resume()
        store.add_row(run_id, row(), "cell")
        assert store.run().rows == (row(),)


def test_a_transaction_that_was_left_lying_ends(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a host that is gone: the server ends it, and others go on."""
    monkeypatch.setattr(server, "IDLE_S", 1)
    url = postgres.database()
    with Store.open(url) as gone, Store.open(url) as store:
        with pytest.raises(StoreError), gone._write() as session:
            session.connection()
            assert store.begin_run("night", "", "rapid")
            gone._latest(session)
        assert len(store.list_runs()) == 1
