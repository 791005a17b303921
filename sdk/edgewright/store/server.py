"""PostgreSQL: one writer at a time as in SQLite, waits that end, and what a server must be.

Every transaction that writes takes one advisory lock first. So what is true of SQLite's ``BEGIN IMMEDIATE``
is true here: who takes a lease, adds a row or upgrades the schema sees all that was written before, and
nobody writes in between. A row takes milliseconds, and a night of a hundred devices adds one a second.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from edgewright.errors import ConfigError, StoreError

from .location import shown

OLDEST = 13
#: The lock of those who write: the letters of "edgewrit". Advisory locks are each database's own.
WRITERS = 0x65646765_77726974
#: How long one waits for the others who write, and how long a transaction may be left lying by a host that is
#: gone: the first outlasts the second.
WAIT_S, IDLE_S = 60, 30
_CONNECTING = {
    "connect_timeout": 10,
    "application_name": "edgewright",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def server_engine(url: URL, *, writes: bool = True) -> Engine:
    """An engine on a server; a connection that was idle is tried before it is used.

    Args:
        url: ``postgresql+psycopg://``; what it sets itself is left as it is.
        writes: False for one by which nothing can be changed.

    Raises:
        ConfigError: the driver is not installed.
    """
    wanted: dict[str, Any] = {name: value for name, value in _CONNECTING.items() if name not in url.query}
    # Prepared statements outlive a transaction, which a pooler between here and the server does not.
    wanted["prepare_threshold"] = None
    try:
        engine = create_engine(url, pool_pre_ping=True, connect_args=wanted)
    except ImportError as error:
        raise ConfigError(
            f"store {shown(url)}: no database driver: {error}", mend="pip install 'edgewright[postgres]'"
        ) from None

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if not writes:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        elif connection.get_execution_options().get("edgewright_writes", False):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_S}s'")
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")

    return engine


def check_server(connection: Connection) -> None:
    """Refuse a server that cannot hold a store.

    Raises:
        StoreError: it is too old, or its database cannot hold every character.
    """
    where = shown(connection.engine.url)
    version = connection.dialect.server_version_info or (0,)
    if version < (OLDEST,):
        told = ".".join(map(str, version))
        raise StoreError(f"{where}: PostgreSQL {told} is too old", mend=f"{OLDEST} or newer")
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise StoreError(
            f"{where}: the database's encoding is {encoding}, not every character can be stored",
            mend="createdb --encoding=UTF8 --template=template0",
        )
