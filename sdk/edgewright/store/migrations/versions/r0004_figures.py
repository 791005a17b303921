"""What overviews and histories ask for, derived from rows and kept beside them; the commit a run measured."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SERIES = (
    "workload",
    "recipe",
    "device",
    "profile",
    "unit",
    "runtime",
    "provider",
    "threads",
    "scenario",
    "preset",
    "conditions",
)


def upgrade() -> None:
    """Two tables, empty: they are filled from the rows when they are first asked."""
    op.add_column("runs", sa.Column("project_commit", sa.String(80), server_default="", nullable=False))
    op.add_column("runs", sa.Column("is_baseline", sa.Boolean, server_default=sa.false(), nullable=False))
    op.create_table(
        "series",
        sa.Column("series_id", sa.String(32), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in _SERIES),
        sa.PrimaryKeyConstraint("series_id", name="pk_series"),
    )
    op.create_table(
        "figures",
        sa.Column("row_number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("series_id", sa.String(32), nullable=False),
        sa.Column("rules", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=True),
        sa.Column("p50_ns", sa.Double, nullable=True),
        sa.Column("p50_low_ns", sa.Double, nullable=True),
        sa.Column("p50_high_ns", sa.Double, nullable=True),
        sa.Column("p90_ns", sa.Double, nullable=True),
        sa.Column("peak_bytes", sa.BigInteger, nullable=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=True),
        sa.Column("energy_mj", sa.Double, nullable=True),
        sa.Column("quality", sa.Double, nullable=True),
        sa.Column("start_celsius", sa.Double, nullable=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("runtime_version", sa.Text, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("row_number", name="pk_figures"),
        sa.ForeignKeyConstraint(
            ["row_number"], ["rows.number"], name="fk_figures_row_number", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_figures_run_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["series_id"], ["series.series_id"], name="fk_figures_series_id"),
    )
    op.create_index("ix_figures_series_id_row_number", "figures", ["series_id", "row_number"])
    op.create_index("ix_figures_run_id", "figures", ["run_id"])
    op.create_index("ix_figures_rules", "figures", ["rules"])
