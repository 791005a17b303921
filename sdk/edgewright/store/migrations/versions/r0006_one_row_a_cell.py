"""A cell has one row in its run, whoever writes; moments sort alike in every database."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """An index that keeps the second row of a cell out, and PostgreSQL's order of texts."""
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
