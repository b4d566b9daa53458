"""What edges told by kind and the time it came: what the drift watch reads."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_outbox_item_kind_received_at", "outbox_item", ["kind", "received_at"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_outbox_item_kind_received_at", "outbox_item")
