"""The search for a setting."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Studies, and the settings that were tried."""
    op.create_table(
        "studies",
        sa.Column("number", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_studies"),
        sa.UniqueConstraint("run_id", name="uq_studies_run_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_studies_run_id", ondelete="CASCADE"),
    )
    op.create_table(
        "trials",
        sa.Column("number", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cell", sa.String(64), server_default="", nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_trials"),
        sa.ForeignKeyConstraint(["run_id"], ["studies.run_id"], name="fk_trials_run_id", ondelete="CASCADE"),
        sa.UniqueConstraint("run_id", "device", "position", name="uq_trials_run_id_device_position"),
    )
    op.create_index("ix_trials_cell", "trials", ["cell"])
