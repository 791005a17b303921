"""The tables of a farm: who holds a board, how it fares, how long cells took, which rows came out slower.

A board is named by its address, so that two farm files that name it differently still mean the same one.
Times are seconds since 1970 by the database's clock, which all hosts share.
"""

from __future__ import annotations

from sqlalchemy import Double, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base


class LeaseRecord(Base):
    """Who has a board to itself, until when unless renewed."""

    __tablename__ = "leases"

    board: Mapped[str] = mapped_column(String(200), primary_key=True)
    token: Mapped[str] = mapped_column(String(32))
    owner: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str] = mapped_column(String(32))
    since: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)


class WaitRecord(Base):
    """Who waits for a board; ``rank`` is when that began, earlier for a higher priority."""

    __tablename__ = "lease_waits"

    board: Mapped[str] = mapped_column(String(200), primary_key=True)
    token: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    rank: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)


class BoardRecord(Base):
    """What is known of a board: its failures in a row, its quarantine, its last health check."""

    __tablename__ = "boards"

    board: Mapped[str] = mapped_column(String(200), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    failures: Mapped[int] = mapped_column(server_default="0")
    quarantined_at: Mapped[float | None] = mapped_column(Double)
    reason: Mapped[str] = mapped_column(Text, server_default="")
    cycled_at: Mapped[float | None] = mapped_column(Double)
    checked_at: Mapped[float | None] = mapped_column(Double)
    is_healthy: Mapped[bool | None]
    health: Mapped[str] = mapped_column(Text, server_default="")


class CellTimeRecord(Base):
    """How long a cell took, by the digest of what it was."""

    __tablename__ = "cell_times"

    cell: Mapped[str] = mapped_column(String(64), primary_key=True)
    seconds: Mapped[float] = mapped_column(Double)


class SlowerRecord(Base):
    """A row that came out slower than what it was held against: no later row is held against it."""

    __tablename__ = "slower_rows"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    baseline: Mapped[str] = mapped_column(String(32))
    ratio: Mapped[float] = mapped_column(Double)
