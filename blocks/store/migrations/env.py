"""Alembic's entry: runs the revisions on the connection that `blocks.store.migrate` hands over."""

from __future__ import annotations

from typing import Literal

from alembic import context
from sqlmodel import AutoString

from blocks.store.columns import UtcDateTime
from blocks.store.migrate import VERSION_TABLE
from blocks.store.tables import Row


def _plain_type(kind: str, item: object, _context: object) -> str | Literal[False]:
    """How a revision spells our column types: revisions must not change when our classes do."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


def run() -> None:
    """Run the asked revisions inside the caller's transaction."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=Row.metadata,
                      version_table=VERSION_TABLE, render_as_batch=True, render_item=_plain_type)  # fmt: skip
    with context.begin_transaction():
        context.run_migrations()


# Alembic loads this file under that name; any other import (a test collector, a type checker) must run nothing.
if __name__ == "env_py":
    run()
