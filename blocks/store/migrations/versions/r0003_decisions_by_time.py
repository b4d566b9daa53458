"""Decisions by the time they were made for: what the scorecard reads hour by hour."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_decision_flow_as_of", "decision", ["flow", "as_of"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_decision_flow_as_of", "decision")
