"""Alembic's entry: runs the revisions on the connection that `blocks.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from blocks.store.migrate import VERSION_TABLE
from blocks.store.tables import Row


def run() -> None:
    """Run the asked revisions inside the caller's transaction."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=Row.metadata,
                      version_table=VERSION_TABLE, render_as_batch=True, transactional_ddl=True)  # fmt: skip
    with context.begin_transaction():
        context.run_migrations()


# Alembic loads this file under that name; any other import (a test collector, a type checker) must run nothing.
if __name__ == "env_py":
    run()
