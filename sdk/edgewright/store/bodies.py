"""Single rows out of the store, and what of them no figure holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select

from edgewright.artifact import Quality
from edgewright.errors import StoreError
from edgewright.row import Row

from .database import Store
from .figures import batches
from .rowcodec import quality_from_json
from .tables import RowRecord


def find_row(store: Store, run_id: str, position: int) -> Row | None:
    """One row of a run, by its place in it; None where there is none.

    Raises:
        StoreError: the store cannot be read, or the row is damaged.
    """
    with store._read() as session:
        body = session.scalar(
            select(RowRecord.body).where(RowRecord.run_id == run_id, RowRecord.position == position)
        )
    return None if body is None else store._row(run_id, position, body)


def each_row(store: Store, run_id: str) -> Iterator[tuple[str, Row]]:
    """The rows of a run in their order, each with its key; one at a time, for raw samples are many.

    Raises:
        StoreError: the store cannot be read, or a row is damaged.
    """
    for position, key in store.keys(run_id).items():
        row = find_row(store, run_id, position)
        if row is not None:
            yield key, row


def qualities(store: Store, numbers: Sequence[int]) -> dict[int, Quality]:
    """The quality of rows by their numbers, of those that have one.

    Raises:
        StoreError: the store cannot be read, or a row is damaged.
    """
    return {number: found for number, found in _qualities(store, numbers) if found is not None}


def _qualities(store: Store, numbers: Sequence[int]) -> Iterator[tuple[int, Quality | None]]:
    for part in batches(sorted(numbers)):
        with store._read() as session:
            rows = session.execute(
                select(RowRecord.number, RowRecord.run_id, RowRecord.position, RowRecord.body).where(
                    RowRecord.number.in_(part)
                )
            )
            for number, run_id, position, body in rows:
                try:
                    yield number, quality_from_json(body)
                except ValueError as error:
                    where = f"{store.location}: row {position} of run {run_id}"
                    raise StoreError(f"{where} is damaged: {error}") from None
