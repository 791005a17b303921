"""Is a store whole: looked at without a single byte being written to it.

The database's own check finds damaged pages; every row is decoded; and what is kept derived is derived anew
and compared. An older store is not upgraded for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from edgewright.errors import StoreError
from edgewright.row import Row

from .figures import RULES, Derive, differing
from .location import database_url, default_location, shown
from .rowcodec import row_from_json
from .schema import CUT_SHORT, newest_revision, read_only, refuse_foreign_database
from .shape import is_cut_short, lacking
from .tables import FiguresRecord, RowRecord, RunRecord, SeriesRecord

#: So many of each kind of problem are named; the rest is counted.
NAMED = 20
#: Of a run, in every version.
_TEXTS = ("run_id", "name", "preset", "plan_text", "started_at", "version")
_MALFORMED = ("malformed", "disk image", "not a database", "corrupt", "decode")


@dataclass(frozen=True)
class Problem:
    """What is wrong.

    Attributes:
        kind: damage, schema, run, row, figures or orphan.
        where: what it is in.
    """

    kind: str
    where: str
    what: str


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        revision: of the schema; ``is_current`` says whether it is this version's. Empty where damage keeps it
            from being read.
        rows, figures: how many there are and were looked at; 0 where damage stopped the check before.
        not_derived: rows without figures, or with those of older rules: nothing is wrong, they are derived
            when a history is asked for.
        problems: up to :data:`NAMED` of each kind.
        total: how many there are.
        remark: what was not checked, and why; empty when everything was.
    """

    location: str
    revision: str
    is_current: bool
    runs: int
    rows: int
    figures: int
    not_derived: int
    problems: tuple[Problem, ...]
    total: int
    remark: str = ""


def check(location: str | Path | None, derive: Derive) -> Checked:
    """Check everything in a store.

    Raises:
        ConfigError: there is no such store, or the location is not one.
        StoreError: not a store at all, from a newer version, or the database cannot be reached.
    """
    url = database_url(default_location() if location is None else location)
    with read_only(url) as engine:
        return _Check(engine, shown(url), derive).run()


class _Check:
    """One check; its problems are collected as they are found."""

    def __init__(self, engine: Engine, where: str, derive: Derive) -> None:
        self._engine = engine
        self._where = where
        self._derive = derive
        self._problems: list[Problem] = []
        self._total = 0

    def run(self) -> Checked:
        """Everything, until the database itself refuses."""
        counts = {"runs": 0, "rows": 0, "figures": 0, "not_derived": 0}
        revision, remark = "", ""
        try:
            with self._engine.connect() as connection:
                if connection.dialect.name != "sqlite":
                    refuse_foreign_database(connection)
                remark = self._damage(connection)
                revision = str(connection.scalar(text("SELECT version_num FROM alembic_version")))
                if revision == newest_revision():
                    for table, what in lacking(connection):
                        self._add("schema", f"table {table}", what)
                tables = set(inspect(connection).get_table_names())
                if "runs" in tables:
                    counts["runs"] = self._runs(connection)
                self._rows(connection, counts, has_figures="figures" in tables)
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            if not any(word in reason.lower() for word in _MALFORMED) and not self._problems:
                raise StoreError(f"{self._where}: the store cannot be read: {reason}") from error
            self._add("damage", "", f"reading stopped: {reason}")
        return Checked(
            location=self._where,
            revision=revision,
            is_current=revision == newest_revision(),
            problems=tuple(self._problems),
            total=self._total,
            remark=remark,
            **counts,
        )

    def _add(self, kind: str, where: str, what: str) -> None:
        self._total += 1
        if sum(problem.kind == kind for problem in self._problems) < NAMED:
            self._problems.append(Problem(kind, where, what))

    def _damage(self, connection: Connection) -> str:
        if self._engine.dialect.name != "sqlite":
            return "the database's own pages are its server's to check"
        for (line,) in connection.exec_driver_sql("PRAGMA integrity_check(100)"):
            if line != "ok":
                self._add("damage", "", " ".join(str(line).split()))
        page_bytes = int(connection.exec_driver_sql("PRAGMA page_size").scalar() or 0)
        if is_cut_short(Path(self._where), page_bytes):
            self._add("damage", "", CUT_SHORT)
        for table, number, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            self._add("orphan", f"{table} {number}", f"belongs to no row of {parent}")
        return ""

    def _runs(self, connection: Connection) -> int:
        """Look at every run, by the columns that all versions have; how many there are."""
        count = 0
        texts = [getattr(RunRecord, name) for name in _TEXTS]
        columns = select(RunRecord.number, RunRecord.finished_at, *texts)
        for number, finished_at, *values in connection.execute(columns.order_by(RunRecord.number)):
            count += 1
            found = dict(zip(_TEXTS, values, strict=True))
            where = f"run {found['run_id']}" if isinstance(found["run_id"], str) else f"run number {number}"
            for name, value in found.items():
                if not isinstance(value, str):
                    self._add("run", where, f"{name} is no text")
            for name, moment in (("started_at", found["started_at"]), ("finished_at", finished_at)):
                if isinstance(moment, str) and not _is_moment(moment):
                    self._add("run", where, f"{name} is no moment: {moment[:40]!r}")
        return count

    def _rows(self, connection: Connection, counts: dict[str, int], *, has_figures: bool) -> None:
        rows = select(
            RowRecord.number, RowRecord.run_id, RowRecord.position, RowRecord.outcome, RowRecord.body
        )
        found = connection.execution_options(yield_per=50).execute(rows.order_by(RowRecord.number))
        for number, run_id, position, outcome, body in found:
            counts["rows"] += 1
            where = f"row {position} of run {run_id}"
            try:
                row = row_from_json(body)
            except ValueError as error:
                self._add("row", where, str(error))
                continue
            kind = type(row.outcome).__name__.lower()
            if kind != outcome:
                self._add("row", where, f"its column says {outcome!r}, the row itself {kind!r}")
            counts["figures"] += has_figures and self._compare(connection, number, where, row)
        counts["not_derived"] = counts["rows"] - counts["figures"]

    def _compare(self, connection: Connection, number: int, where: str, row: Row) -> bool:
        """Whether the row has figures of today's rules; they are compared with what it gives."""
        with Session(connection) as session:
            record = session.get(FiguresRecord, number)
            if record is None or record.rules != RULES:
                return False
            figures = self._derive(row)
            wrong = differing(figures, record)
            series = session.get(SeriesRecord, record.series_id)
            wrong += [
                name for name, value in vars(figures.series).items() if getattr(series, name, None) != value
            ]
        if wrong:
            self._add("figures", where, f"kept otherwise than derived: {', '.join(sorted(set(wrong)))}")
        return True


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
