"""Results as one Parquet table: a row a line, its figures as columns, all of it as JSON in ``body``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from edgewright.errors import ConfigError
from edgewright.files import replacing

from .database import Store
from .points import FIELDS, Point
from .tables import FiguresRecord, RowRecord, RunRecord, SeriesRecord
from .transfer import Moved

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 50
_FLOATS = ("p50_ns", "p50_low_ns", "p50_high_ns", "p90_ns", "energy_mj", "quality", "start_celsius")
_INTEGERS = ("position", "peak_bytes", "size_bytes")
#: Of a point, all but what only this database means by it, and what its run has a column for.
_FIGURES = tuple(
    field.name
    for field in fields(Point)
    if field.name not in ("row_number", "run_id", "run_name", "run_started_at", "version", "project_commit")
)
_RUN = ("run_id", "name", "started_at", "finished_at", "version", "project_commit")


def export_parquet(store: Store, path: Path, run_ids: Sequence[str]) -> Moved:
    """Write the rows of some runs, whose figures are derived already; the file is there whole or not at all.

    Raises:
        ConfigError: pyarrow is not installed.
        StoreError: the store cannot be read.
        EdgewrightError: the file cannot be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(f"{path}: no pyarrow", mend="pip install 'edgewright[parquet]'") from None
    schema = _schema(pa)
    rows = 0
    with (
        replacing(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for batch in _batches(store, run_ids):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            rows += len(batch)
    return Moved(len(run_ids), rows)


def _schema(pa: Any) -> pa.Schema:
    kinds = {**dict.fromkeys(_FLOATS, pa.float64()), **dict.fromkeys(_INTEGERS, pa.int64())}
    names = [*(_run_column(name) for name in _RUN), *FIELDS, *_FIGURES, "body"]
    return pa.schema([(name, kinds.get(name, pa.string())) for name in names])


def _run_column(name: str) -> str:
    """``started_at`` of the run; ``version`` is Edgewright's."""
    return {"run_id": "run_id", "version": "edgewright", "project_commit": "project_commit"}.get(
        name, f"run_{name}"
    )


def _batches(store: Store, run_ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    columns = [
        *(getattr(RunRecord, name).label(_run_column(name)) for name in _RUN),
        *(getattr(SeriesRecord, name) for name in FIELDS),
        *(getattr(FiguresRecord, name) for name in _FIGURES),
        RowRecord.body,
    ]
    for run_id in run_ids:
        with store._read() as session:
            found = session.execute(
                select(*columns)
                .join(RunRecord, RunRecord.run_id == RowRecord.run_id)
                .join(FiguresRecord, FiguresRecord.row_number == RowRecord.number)
                .join(SeriesRecord, SeriesRecord.series_id == FiguresRecord.series_id)
                .where(RowRecord.run_id == run_id)
                .order_by(RowRecord.position)
                .execution_options(yield_per=_BATCH)
            )
            for part in found.mappings().partitions():
                yield [dict(row) for row in part]
