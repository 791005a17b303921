"""Stores as earlier versions left them: made by their own migrations, with one run and one row."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command

from edgewright.row import Row
from edgewright.store.location import database_url
from edgewright.store.rowcodec import row_to_json
from edgewright.store.schema import alembic_config, make_engine

OLD_RUN = "20250101-000000-abcd"


def store_of_revision(path: Path, revision: str, row: Row) -> None:
    """A store at a revision of the schema, which holds :data:`OLD_RUN` with one measured row."""
    engine, config = make_engine(database_url(path)), alembic_config()
    with engine.connect().execution_options(edgewright_writes=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "INSERT INTO runs (run_id, name, preset, plan_text, started_at, finished_at, version)"
            " VALUES (?, 'old', 'quick', '', ?, ?, '0.1')",
            (OLD_RUN, "2025-01-01T00:00:00+00:00", "2025-01-01T01:00:00+00:00"),
        )
        database.execute(
            "INSERT INTO rows (run_id, position, workload, recipe, device, profile, runtime, outcome,"
            " started_at, body) VALUES (?, 0, ?, ?, ?, ?, ?, 'measured', ?, ?)",
            (OLD_RUN, *vars(row.cell).values(), row.started_at, row_to_json(row)),
        )
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
