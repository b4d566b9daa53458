"""Alembic revisions of the store: one head, run by `blocks.store.migrate`."""
