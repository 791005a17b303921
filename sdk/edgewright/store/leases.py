"""One farm at a time on a board: leases that expire, so that a host that died never keeps one.

A holder renews its leases well before they expire. A process of this host that died loses them at once. Those
who wait are served in the order in which they came; each step of priority counts like having come ten minutes
earlier, so that nobody waits for ever. What keeps two jobs from running at once, should a host sleep through
the end of its lease, is the device's own turn.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from .clock import database_now
from .database import Store
from .farm_tables import LeaseRecord, WaitRecord
from .process import may_live, this_process

LEASE_S = 60.0
#: What a step of priority is worth.
PRIORITY_S = 600.0


@dataclass(frozen=True)
class Holder:
    """Who has a board.

    Attributes:
        owner: for people: ``HOST, process 123``.
        for_s: since when.
        left_s: until it expires unless renewed; negative once it has.
        may_live: whether its process may still be at work.
    """

    board: str
    owner: str
    run_id: str
    for_s: float
    left_s: float
    may_live: bool

    @property
    def holds(self) -> bool:
        """Whether the board is not free."""
        return self.left_s > 0 and self.may_live


class Leases:
    """The leases of one run.

    Every method raises :class:`~edgewright.errors.StoreError` when the store cannot be used.

    Args:
        store: shared by all farms on the same boards.
        run_id: for which run.
        priority: any number; higher goes first.
        lease_s: how long a lease holds unless it is renewed.
    """

    def __init__(self, store: Store, run_id: str, *, priority: int = 0, lease_s: float = LEASE_S) -> None:
        self._store = store
        self._run_id = run_id
        self._bonus_s = priority * PRIORITY_S
        self._lease_s = lease_s
        self._token = secrets.token_hex(16)
        self._owner = this_process()

    @property
    def renew_s(self) -> float:
        """How often to call :meth:`renew`."""
        return self._lease_s / 4

    def take(self, board: str) -> Holder | None:
        """Take the board, or a place in the line for it, which lasts while this is called again and again.

        Returns:
            None when it is ours now; otherwise who has it, or is to have it before us.
        """
        with self._store._write() as session:
            now = database_now(session)
            for gone in _waiting(session, board):
                if gone.expires_at <= now or not may_live(gone.owner):
                    session.delete(gone)
            session.flush()
            mine = session.get(WaitRecord, (board, self._token))
            rank = mine.rank if mine else now - self._bonus_s
            lease = session.get(LeaseRecord, board)
            is_free = lease is None or lease.token == self._token or not _holder(lease, now).holds
            others = [wait for wait in _waiting(session, board) if wait.token != self._token]
            earlier = [wait for wait in others if wait.rank < rank]
            if is_free and not earlier and self._take(session, board, lease, now):
                if mine:
                    session.delete(mine)
                return None
            if mine is None:
                mine = WaitRecord(board=board, token=self._token, owner=self._owner, rank=rank)
                session.add(mine)
            mine.expires_at = now + self._lease_s
            if lease is not None and not is_free:
                return _holder(lease, now)
            owner = min(earlier, key=lambda wait: wait.rank).owner if earlier else self._owner
            return Holder(board, _described(owner), "", 0.0, self._lease_s, True)

    def _take(self, session: Session, board: str, lease: LeaseRecord | None, now: float) -> bool:
        """Whether it is ours; another host may have been quicker."""
        values = {
            "token": self._token,
            "owner": self._owner,
            "run_id": self._run_id,
            "since": now,
            "expires_at": now + self._lease_s,
        }
        if lease is not None:
            as_seen = (LeaseRecord.board == board, LeaseRecord.token == lease.token)
            changed = session.execute(
                update(LeaseRecord).where(*as_seen, LeaseRecord.expires_at == lease.expires_at).values(values)
            )
            return bool(changed.rowcount)  # type: ignore[attr-defined]
        try:
            with session.begin_nested():
                session.add(LeaseRecord(board=board, **values))
        except IntegrityError:
            return False
        return True

    def renew(self) -> frozenset[str]:
        """Keep what is held; which boards are."""
        with self._store._write() as session:
            until = database_now(session) + self._lease_s
            mine = LeaseRecord.token == self._token
            session.execute(update(LeaseRecord).where(mine).values(expires_at=until))
            return frozenset(session.scalars(select(LeaseRecord.board).where(mine)))

    def is_wanted(self, board: str) -> bool:
        """Whether somebody waits for it who would come before us, had we to wait from now on."""
        with self._store._read() as session:
            now = database_now(session)
            return any(
                wait.token != self._token
                and wait.expires_at > now
                and wait.rank < now - self._bonus_s
                and may_live(wait.owner)
                for wait in _waiting(session, board)
            )

    def release(self, board: str) -> None:
        """Let somebody else have it, and stop waiting for it."""
        self._remove(LeaseRecord.board == board, WaitRecord.board == board)

    def close(self) -> None:
        """Release all."""
        self._remove(LeaseRecord.token == self._token, WaitRecord.token == self._token)

    def _remove(self, leases: object, waits: object) -> None:
        with self._store._write() as session:
            session.execute(delete(LeaseRecord).where(leases, LeaseRecord.token == self._token))  # type: ignore[arg-type]
            session.execute(delete(WaitRecord).where(waits, WaitRecord.token == self._token))  # type: ignore[arg-type]


def holders(store: Store) -> dict[str, Holder]:
    """Every lease there is, by board, those included that have expired and were not taken since."""
    with store._read() as session:
        now = database_now(session)
        return {lease.board: _holder(lease, now) for lease in session.scalars(select(LeaseRecord))}


def _waiting(session: Session, board: str) -> Collection[WaitRecord]:
    return session.scalars(select(WaitRecord).where(WaitRecord.board == board)).all()


def _holder(lease: LeaseRecord, now: float) -> Holder:
    return Holder(
        lease.board,
        _described(lease.owner),
        lease.run_id,
        now - lease.since,
        lease.expires_at - now,
        may_live(lease.owner),
    )


def _described(owner: str) -> str:
    try:
        told = json.loads(owner)
        return f"{told['host']}, process {told['pid']}"
    except (ValueError, KeyError, TypeError):
        return "somebody"
