"""What a farm knows of its boards."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Leases and who waits for one, boards, times of cells, and rows that came out slower."""
    op.create_table(
        "leases",
        sa.Column("board", sa.String(200), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("board", name="pk_leases"),
    )
    op.create_table(
        "lease_waits",
        sa.Column("board", sa.String(200), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("rank", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("board", "token", name="pk_lease_waits"),
    )
    op.create_table(
        "boards",
        sa.Column("board", sa.String(200), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, server_default="0", nullable=False),
        sa.Column("quarantined_at", sa.Double, nullable=True),
        sa.Column("reason", sa.Text, server_default="", nullable=False),
        sa.Column("cycled_at", sa.Double, nullable=True),
        sa.Column("checked_at", sa.Double, nullable=True),
        sa.Column("is_healthy", sa.Boolean, nullable=True),
        sa.Column("health", sa.Text, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("board", name="pk_boards"),
    )
    op.create_table(
        "cell_times",
        sa.Column("cell", sa.String(64), nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("cell", name="pk_cell_times"),
    )
    op.create_table(
        "slower_rows",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("baseline", sa.String(32), nullable=False),
        sa.Column("ratio", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name="pk_slower_rows"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name="fk_slower_rows_run_id", ondelete="CASCADE"
        ),
    )
