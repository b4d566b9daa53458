"""Prefect's transactions on SQLite that read before they write, side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncEngine

import deployments.sqlite_server  # noqa: F401 (transactions begin otherwise once it is imported)

WRITERS, TIMES = 8, 10


async def _add_one(prefects: AioSqliteConfiguration, engine: AsyncEngine) -> None:
    for _ in range(TIMES):
        async with await prefects.session(engine) as session, prefects.begin_transaction(session):
            before = await session.scalar(sa.text("SELECT n FROM counted"))
            await session.execute(sa.text("UPDATE counted SET n = :n"), {"n": before + 1})


async def _count_together(database: Path) -> int:
    prefects = AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{database}", timeout=10)
    engine = await prefects.engine()
    async with await prefects.session(engine) as session, prefects.begin_transaction(session):
        await session.execute(sa.text("CREATE TABLE counted AS SELECT 0 AS n"))
    await asyncio.gather(*(_add_one(prefects, engine) for _ in range(WRITERS)))
    async with await prefects.session(engine) as session:
        found = await session.scalar(sa.text("SELECT n FROM counted"))
    await engine.dispose()
    return int(found)


def test_transactions_that_read_and_then_write_wait_for_each_other(tmp_path: Path) -> None:
    assert asyncio.run(_count_together(tmp_path / "prefect.db")) == WRITERS * TIMES
