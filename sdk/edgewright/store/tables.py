"""The two tables. Their creation, and every change of them, is a migration too; a test keeps them equal."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, MetaData, String, Text, UniqueConstraint
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


class RunRecord(Base):
    """A run. ``number`` counts up, so the latest run is known whatever the clock did."""

    __tablename__ = "runs"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(Text)
    preset: Mapped[str] = mapped_column(Text)
    plan_text: Mapped[str] = mapped_column(Text)
    started_at: Mapped[str] = mapped_column(String(40))
    finished_at: Mapped[str | None] = mapped_column(String(40))
    version: Mapped[str] = mapped_column(String(40))
    request: Mapped[str] = mapped_column(String(64), server_default="")
    process: Mapped[str] = mapped_column(Text, server_default="")


class RowRecord(Base):
    """A row: what identifies it as columns, everything else, raw samples included, as JSON in ``body``."""

    __tablename__ = "rows"
    __table_args__ = (
        UniqueConstraint("run_id", "position"),
        Index(None, "workload", "recipe", "device", "runtime"),
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
