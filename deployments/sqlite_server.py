"""`python -m deployments.sqlite_server`: Prefect's command line, with a server that waits for its turn to write.

A transaction of Prefect 3.8 on SQLite begins DEFERRED: it reads first, and where another has written before it
writes, SQLite refuses it at once with "database is locked", whatever the time-out says. Begun IMMEDIATE it waits
(`busy_timeout`, 60 s). See https://www.sqlite.org/lang_transaction.html.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.cli import app
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

_as_asked = AioSqliteConfiguration.begin_transaction


@asynccontextmanager
async def _immediate(
    configuration: AioSqliteConfiguration, session: AsyncSession, **_: bool
) -> AsyncGenerator[AsyncSessionTransaction, None]:
    async with _as_asked(configuration, session, with_for_update=True) as transaction:
        yield transaction


AioSqliteConfiguration.begin_transaction = _immediate  # type: ignore[method-assign,assignment]

if __name__ == "__main__":
    app()
