"""The tables of the search for a setting: a study, and each setting that was tried on each of its devices."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from .tables import Base


class StudyRecord(Base):
    """A study. What it measures are the rows of its run; what was asked for is JSON in ``question``."""

    __tablename__ = "studies"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id", ondelete="CASCADE"), unique=True)
    request: Mapped[str] = mapped_column(String(64))
    question: Mapped[str] = mapped_column(Text)


class TrialRecord(Base):
    """A setting on a device, from the moment it is chosen; ``body`` is JSON and grows as more is known.

    ``cell`` names what was measured by its content and conditions: the same anywhere is the same measurement.
    """

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("run_id", "device", "position"),
        Index(None, "cell"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("studies.run_id", ondelete="CASCADE"))
    device: Mapped[str] = mapped_column(Text)
    position: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    cell: Mapped[str] = mapped_column(String(64), server_default="")
    body: Mapped[str] = mapped_column(Text)
