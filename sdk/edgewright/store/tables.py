"""The tables. Their creation, and every change of them, is a migration too; a test keeps them equal."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, MetaData, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can address them on any database."""

    metadata = MetaData(naming_convention=NAMING)


#: A moment in ISO 8601, in an order that no language has a say in.
MOMENT = String(40).with_variant(String(40, collation="C"), "postgresql")


class RunRecord(Base):
    """A run. ``number`` counts up, so the latest run is known whatever the clock did."""

    __tablename__ = "runs"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(Text)
    preset: Mapped[str] = mapped_column(Text)
    plan_text: Mapped[str] = mapped_column(Text)
    started_at: Mapped[str] = mapped_column(MOMENT)
    finished_at: Mapped[str | None] = mapped_column(MOMENT)
    version: Mapped[str] = mapped_column(String(40))
    request: Mapped[str] = mapped_column(String(64), server_default="")
    process: Mapped[str] = mapped_column(Text, server_default="")
    project_commit: Mapped[str] = mapped_column(String(80), server_default="")
    is_baseline: Mapped[bool] = mapped_column(server_default=false())


class RowRecord(Base):
    """A row: what identifies it as columns, everything else, raw samples included, as JSON in ``body``.

    ``key`` is that of its cell in the run, which has one row; empty where nobody gave one.
    """

    __tablename__ = "rows"
    __table_args__ = (
        UniqueConstraint("run_id", "position"),
        Index(None, "workload", "recipe", "device", "runtime"),
        Index(
            None,
            "run_id",
            "key",
            unique=True,
            sqlite_where=text("key <> ''"),
            postgresql_where=text("key <> ''"),
        ),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id", ondelete="CASCADE"))
    position: Mapped[int]
    workload: Mapped[str] = mapped_column(Text)
    recipe: Mapped[str] = mapped_column(Text)
    device: Mapped[str] = mapped_column(Text)
    profile: Mapped[str] = mapped_column(Text)
    runtime: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[str] = mapped_column(String(40))
    body: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text, server_default="")


class SeriesRecord(Base):
    """What must be alike for rows to differ by their time alone; the id is made from the rest."""

    __tablename__ = "series"

    series_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    workload: Mapped[str] = mapped_column(Text)
    recipe: Mapped[str] = mapped_column(Text)
    device: Mapped[str] = mapped_column(Text)
    profile: Mapped[str] = mapped_column(Text)
    unit: Mapped[str] = mapped_column(Text)
    runtime: Mapped[str] = mapped_column(Text)
    provider: Mapped[str] = mapped_column(Text)
    threads: Mapped[str] = mapped_column(Text)
    scenario: Mapped[str] = mapped_column(Text)
    preset: Mapped[str] = mapped_column(Text)
    conditions: Mapped[str] = mapped_column(Text)


class FiguresRecord(Base):
    """What overviews ask of a row, derived from its body: a cache, which ``rules`` dates.

    It has a table of its own because a column behind ``body`` is read by way of all its pages.
    """

    __tablename__ = "figures"
    __table_args__ = (Index(None, "series_id", "row_number"), Index(None, "run_id"), Index(None, "rules"))

    row_number: Mapped[int] = mapped_column(
        ForeignKey("rows.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id", ondelete="CASCADE"))
    position: Mapped[int]
    series_id: Mapped[str] = mapped_column(ForeignKey("series.series_id"))
    rules: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(16))
    verdict: Mapped[str | None] = mapped_column(String(16))
    p50_ns: Mapped[float | None]
    p50_low_ns: Mapped[float | None]
    p50_high_ns: Mapped[float | None]
    p90_ns: Mapped[float | None]
    peak_bytes: Mapped[int | None] = mapped_column(BigInteger)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    energy_mj: Mapped[float | None]
    quality: Mapped[float | None]
    start_celsius: Mapped[float | None]
    sha256: Mapped[str] = mapped_column(String(64))
    runtime_version: Mapped[str] = mapped_column(Text)
    system: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
