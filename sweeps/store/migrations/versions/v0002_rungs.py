"""Rungs: what trials measured on the way, and what was decided there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create their table; a trial from before trains to its last step."""
    op.create_table(
        "f3rm_rungs",
        sa.Column("sweep_id", sa.String(length=16), nullable=False),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["sweep_id", "trial"], ["f3rm_trials.sweep_id", "f3rm_trials.number"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sweep_id", "trial", "step"),
    )
    with op.batch_alter_table("f3rm_trials") as table:
        table.add_column(sa.Column("target_step", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE f3rm_trials SET target_step = total_steps")
    with op.batch_alter_table("f3rm_trials") as table:
        table.alter_column("target_step", server_default=None)
