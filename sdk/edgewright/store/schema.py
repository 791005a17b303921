"""Opening a database: refused when it is not ours, newer or damaged; created or upgraded otherwise.

A refused file is left as it was: it is looked at through a read-only connection first.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import closing, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text

from edgewright.errors import ConfigError, StoreError

from .location import shown
from .server import check_server, server_engine
from .shape import is_cut_short, reading_uri

BUSY_TIMEOUT_S = 30
_BUSY_PAUSE_S = 0.01
#: Of an error code of SQLite, what is left without what it was doing.
_PRIMARY = 0xFF
#: Smaller files are read whole in search of damage when they are opened, which takes some 0.1 s.
CHECKED_BYTES = 32 << 20
CUT_SHORT = "the file ends within a page"
_HEADER = b"SQLite format 3\0"
_MIGRATIONS = "edgewright.store:migrations"


def make_engine(url: URL) -> Engine:
    """An engine whose transactions are the database's own, DDL included.

    Raises:
        ConfigError: the database's driver is not installed.
    """
    if url.get_backend_name() != "sqlite":
        return server_engine(url)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # pysqlite's own BEGIN leaves DDL outside the transaction
        _write_ahead(connection)
        for pragma in ("foreign_keys = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        # A writer takes the lock at once: one that starts as a reader cannot wait for another writer.
        writes = connection.get_execution_options().get("edgewright_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn to a write-ahead log. Where several make a new file at once, SQLite refuses this without waiting
    for the others, as it does for everything else; so the wait is here.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & _PRIMARY == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)
        else:
            return


def prepare_file(url: URL) -> None:
    """Make the folder of a new SQLite file; refuse an existing file that cannot be a store.

    Raises:
        StoreError: the folder cannot be made, or the file is unreadable, damaged or not a store.
    """
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            return
    except OSError as error:
        raise StoreError(f"{path}: the store cannot be opened: {error.strerror}") from None
    refuse_foreign(path)


def refuse_foreign(path: Path, *, whole: bool | None = None) -> None:
    """Refuse a file that is no store of this version or an older one; nothing is written to it.

    Args:
        path: an existing file.
        whole: whether it is read whole in search of damage; None for up to :data:`CHECKED_BYTES`.

    Raises:
        StoreError: the file is unreadable, damaged, newer, or not a store.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(len(_HEADER))
    except OSError as error:
        raise StoreError(f"{path}: the store cannot be opened: {error.strerror}") from None
    if size and head != _HEADER:
        raise StoreError(f"{path}: not an Edgewright store: not a SQLite database")
    if size:
        _inspect_file(path, whole=size <= CHECKED_BYTES if whole is None else whole)


@contextmanager
def read_only(url: URL) -> Iterator[Engine]:
    """An engine over a store as it is: neither made, nor upgraded, nor written to.

    Raises:
        ConfigError: there is no such file, or no driver for the database.
        StoreError: the file is not a store, or from a newer version.
    """
    if url.get_backend_name() == "sqlite":
        if not url.database or not Path(url.database).is_file():
            raise ConfigError(f"{shown(url)}: no such store")
        refuse_foreign(Path(url.database), whole=False)
        address = reading_uri(Path(url.database))
        engine = create_engine(
            url, creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False)
        )
    else:
        engine = server_engine(url, writes=False)
    try:
        yield engine
    finally:
        engine.dispose()


def newest_revision() -> str:
    """The schema that this version writes."""
    return str(ScriptDirectory.from_config(alembic_config()).get_current_head())


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision, in one transaction that other openers wait for.

    Raises:
        StoreError: the database holds something else, or a revision this version does not know.
    """
    config = alembic_config()
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.connect().execution_options(edgewright_writes=True) as connection, connection.begin():
        if engine.dialect.name != "sqlite":
            check_server(connection)
        tables = set(inspect(connection).get_table_names())
        _check(shown(engine.url), tables, _revisions(connection, tables), known)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def refuse_foreign_database(connection: Connection) -> None:
    """Refuse a server's database that holds no store of this version or an older one.

    Raises:
        ConfigError: it holds nothing.
        StoreError: something else, or a newer store; or the server is too old.
    """
    check_server(connection)
    where, tables = shown(connection.engine.url), set(inspect(connection).get_table_names())
    known = {revision.revision for revision in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    _check(where, tables, _revisions(connection, tables), known)
    if not tables:
        raise ConfigError(f"{where}: no such store: the database is empty")


def _revisions(connection: Connection, tables: Set[str]) -> list[str]:
    if "alembic_version" not in tables:
        return []
    found = connection.execute(text("SELECT version_num FROM alembic_version"))
    return [str(revision) for revision in found.scalars()]


def alembic_config() -> Config:
    """Where the migrations are."""
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    return config


def _check(where: str, tables: Set[str], revisions: Sequence[str], known: Set[str]) -> None:
    others = sorted(tables - {"alembic_version"})
    if others and not revisions:
        raise StoreError(f"{where}: not an Edgewright store: it holds other tables ({', '.join(others[:3])})")
    strange = [revision for revision in revisions if revision not in known]
    if strange:
        raise StoreError(
            f"{where}: written by a newer Edgewright (schema {strange[0]!r})",
            mend="upgrade edgewright to read it",
        )


def _inspect_file(path: Path, *, whole: bool) -> None:
    """Look at a SQLite file without writing to it."""
    known = {revision.revision for revision in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    try:
        with closing(sqlite3.connect(reading_uri(path), uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            tables = {str(name) for (name,) in names if not str(name).startswith("sqlite_")}
            revisions = []
            if "alembic_version" in tables:
                found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
                revisions = [str(revision) for (revision,) in found]
            _check(str(path), tables, revisions, known)
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if whole else "ok"
            page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
            if whole and problem == "ok" and is_cut_short(path, page_bytes):
                problem = CUT_SHORT
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the store cannot be read: {error}") from None
    if problem != "ok":
        raise StoreError(f"{path}: the store is damaged: {' '.join(str(problem).split())}")
