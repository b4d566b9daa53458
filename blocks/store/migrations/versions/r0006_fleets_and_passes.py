"""Whose fleet a decision is about, and when each flow's passes ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column (of decisions made before nobody knows the fleet: "") and the table."""
    op.add_column("decision", sa.Column("fleet", sa.String(), nullable=False, server_default=""))
    op.create_table(
        "flow_pass",
        sa.Column("flow_run_id", sa.String(), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("fleet", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("flow_run_id", name="pk_flow_pass"),
    )
    op.create_index("ix_flow_pass_flow_ended_at", "flow_pass", ["flow", "ended_at"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("flow_pass")
    op.drop_column("decision", "fleet")
