"""A cell has one row in its run, whoever writes; moments sort alike in every database."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROWS = sa.table("rows", sa.column("number"), sa.column("run_id"), sa.column("key"))


def upgrade() -> None:
    """An index that keeps the second row of a cell out, and PostgreSQL's order of texts."""
    _tell_doubles_apart()
    has_key = sa.text("key <> ''")
    op.create_index(
        "ix_rows_run_id_key",
        "rows",
        ["run_id", "key"],
        unique=True,
        sqlite_where=has_key,
        postgresql_where=has_key,
    )
    if op.get_bind().dialect.name == "postgresql":
        for name in ("started_at", "finished_at"):
            op.alter_column("runs", name, type_=sa.String(40, collation="C"))


def _tell_doubles_apart() -> None:
    """Before the index, two processes that went on with one run could each add a cell's row.

    The first stays the cell's; the others stay, too, as rows of a cell that was measured again.
    """
    same = sa.select(ROWS.c.run_id, ROWS.c.key).where(ROWS.c.key != "")
    doubles = same.group_by(ROWS.c.run_id, ROWS.c.key).having(sa.func.count() > 1)
    for run_id, key in op.get_bind().execute(doubles).all():
        rows = sa.select(ROWS.c.number).where(ROWS.c.run_id == run_id, ROWS.c.key == key)
        numbers = op.get_bind().execute(rows.order_by(ROWS.c.number)).scalars().all()
        for time, number in enumerate(numbers[1:], start=1):
            op.execute(ROWS.update().where(ROWS.c.number == number).values(key=f"{key}+{time}"))
