"""The database's clock: the one that all hosts which share a store agree on."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

_NOW = {"sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0"}
_NOW_ELSEWHERE = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


def database_now(session: Session) -> float:
    """Seconds since 1970."""
    query = _NOW.get(session.get_bind().dialect.name, _NOW_ELSEWHERE)
    return float(session.execute(text(query)).scalar_one())
