"""Stores as earlier versions left them, made by their own migrations; and the hand that changes one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import text

from edgewright.row import Row
from edgewright.store.location import database_url
from edgewright.store.rowcodec import row_to_json
from edgewright.store.schema import alembic_config, make_engine

OLD_RUN = "20250101-000000-abcd"


def execute(location: str | Path, statement: str, **values: Any) -> list[Any]:
    """Do something to a store from outside; what it returned. Values are named as in ``:name``."""
    engine = make_engine(database_url(location))
    with engine.connect() as connection, connection.begin():
        done = connection.execute(text(statement), values)
        found = [tuple(line) for line in done] if done.returns_rows else []
    engine.dispose()
    return found


def store_of_revision(location: str | Path, revision: str, row: Row) -> None:
    """A store at a revision of the schema, which holds :data:`OLD_RUN` with one measured row."""
    engine, config = make_engine(database_url(location)), alembic_config()
    with engine.connect().execution_options(edgewright_writes=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    moments = {"began": "2025-01-01T00:00:00+00:00", "ended": "2025-01-01T01:00:00+00:00"}
    execute(
        location,
        "INSERT INTO runs (run_id, name, preset, plan_text, started_at, finished_at, version)"
        " VALUES (:run, 'old', 'quick', '', :began, :ended, '0.1')",
        run=OLD_RUN,
        **moments,
    )
    execute(
        location,
        "INSERT INTO rows (run_id, position, workload, recipe, device, profile, runtime, outcome,"
        " started_at, body) VALUES (:run, 0, :workload, :recipe, :device, :profile, :runtime, 'measured',"
        " :at, :body)",
        run=OLD_RUN,
        at=row.started_at,
        body=row_to_json(row),
        **vars(row.cell),
    )
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as held:
            held.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        engine.dispose()
