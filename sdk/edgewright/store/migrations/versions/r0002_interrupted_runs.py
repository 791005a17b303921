"""What it takes to go on with a run whose process died."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Who runs it, what was asked for, and which cell a row is of."""
    op.add_column("runs", sa.Column("request", sa.String(64), server_default="", nullable=False))
    op.add_column("runs", sa.Column("process", sa.Text, server_default="", nullable=False))
    op.add_column("rows", sa.Column("key", sa.Text, server_default="", nullable=False))
