"""What can be seen of a database before it is used: is its file whole, has it the tables of this version."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Table, UniqueConstraint, inspect

from . import farm_tables, study_tables
from .tables import Base

#: Modules that have tables of their own.
_TABLES = (farm_tables, study_tables)


def lacking(connection: Connection) -> Iterator[tuple[str, str]]:
    """What is not there, and of which table. Only a database of the newest revision has all of it."""
    found = inspect(connection)
    there = set(found.get_table_names())
    for table in Base.metadata.sorted_tables:
        if table.name not in there:
            yield table.name, "the table is not there"
            continue
        columns = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                yield table.name, f"it has no column {column.name}"
        unique = {str(one["name"]) for one in found.get_unique_constraints(table.name)}
        indexes = {str(one["name"]): bool(one["unique"]) for one in found.get_indexes(table.name)}
        for name, is_unique in _indexes(table):
            if name in unique:
                continue
            if name not in indexes:
                yield table.name, f"it has no index {name}"
            elif is_unique and not indexes[name]:
                yield table.name, f"its index {name} lets doubles in"


def _indexes(table: Table) -> Iterator[tuple[str, bool]]:
    for index in table.indexes:
        yield str(index.name), bool(index.unique)
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield str(constraint.name), True


def is_cut_short(path: Path, page_bytes: int) -> bool:
    """Whether a SQLite file ends within a page, of which SQLite itself takes the rest for zeros.

    While there is a journal, what is missing is in that.
    """
    return path.stat().st_size % page_bytes != 0 and not _has_journal(path)


def reading_uri(path: Path) -> str:
    """The address by which SQLite reads a file, and writes nothing to it.

    While it reads it has files of its own beside the store. Where it can make none, and nobody has made any,
    as on a medium that cannot be written to, it is told that nobody changes the store meanwhile.
    """
    can_write = os.access(path.parent, os.W_OK)
    return f"{path.absolute().as_uri()}?mode=ro{'' if can_write or _has_journal(path) else '&immutable=1'}"


def _has_journal(path: Path) -> bool:
    journal = path.with_name(f"{path.name}-wal")
    return journal.exists() and journal.stat().st_size > 0
