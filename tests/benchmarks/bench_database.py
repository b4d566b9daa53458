"""How much Prefect's database grows per 1,000 task runs, and what is left of it after retention and VACUUM.

`make bench-database`. A PostgreSQL of our own and one Prefect server with the retention of `continuum serve`. Rows are
made older by SQL, since nobody waits for weeks; it is Prefect's own service that deletes them, as it does every hour.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr
from sqlalchemy import create_engine, make_url, text

from deployments.prefect_server import Server, prefect_server
from deployments.server.layout import Layout
from deployments.server.parts import migration
from tests.blocks.store.postgres_server import postgres_server

TASK_RUNS, TASKS_A_RUN = int(os.environ.get("TASK_RUNS", "1000")), 50
MB = 1e6
EVENTS = "SELECT count(*) FROM events"
RUNS = "SELECT count(*) FROM flow_run"


@task(name="shard", cache_policy=NO_CACHE, persist_result=False)
def shard(number: int) -> int:
    """A task run as our passes have them."""
    return number


@flow(name="pass")
def one_pass() -> int:
    """A flow run as our passes are: at most fifty task runs, one log line each."""
    return sum(shard(number) for number in range(TASKS_A_RUN))


def main() -> int:
    with postgres_server() as url, tempfile.TemporaryDirectory() as folder:
        if url is None:
            print("no PostgreSQL server on this machine: nothing was measured")
            return 1
        home = Path(folder)
        layout = Layout(url="http://127.0.0.1:4200", database=SecretStr(url), redis=SecretStr("redis://none"),
                        auth=SecretStr("continuum:" + "x" * 20))  # fmt: skip
        step = migration(layout, home)
        subprocess.run(step.command, env=step.env, check=True, stdout=subprocess.DEVNULL)
        base = Base(url)
        with serving(layout, home, loop_s=3600) as server:
            server.become_client()
            before = base.megabytes()
            for _ in range(TASK_RUNS // TASKS_A_RUN):
                one_pass()
            base.until(f"SELECT count(*) >= {TASK_RUNS} FROM events WHERE event = 'prefect.task-run.Completed'")
            events = base.number(EVENTS)
        grown = base.megabytes() - before
        per_1000 = TASK_RUNS / 1000
        print(f"{TASK_RUNS} task runs in {base.number(RUNS)} flow runs, {events} events")
        print(f"growth per 1,000 task runs: {grown / per_1000:.1f} MB; largest: {base.largest()}")

        days = layout.retention.task_run_events_days + 1
        left = aged(layout, home, base, days, "SELECT count(*) = 0 FROM events WHERE event LIKE 'prefect.task-run.%'")
        print(f"after {days} days (events of task runs gone): {(left - before) / per_1000:.1f} MB")
        days = layout.retention.events_days + 1
        left = kept = aged(
            layout, home, base, days, "SELECT count(*) = 0 FROM events WHERE occurred < now() - interval '7 days'"
        )
        print(f"after {days} days (all events gone, runs kept): {(left - before) / per_1000:.1f} MB; {base.largest()}")
        days = layout.retention.flow_runs_days + 1
        left = aged(layout, home, base, days, "SELECT count(*) = 0 FROM flow_run")
        print(f"after {days} days (runs gone too): {(left - before) / per_1000:.1f} MB")
        return 0 if (kept - before) / per_1000 <= 12 else 1


class Base:
    """The database, looked at from outside."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")

    def number(self, query: str) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(text(query)).scalar_one())

    def do(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))

    def megabytes(self) -> float:
        """Of the whole database, with no dead rows in it."""
        self.do("VACUUM FULL")
        return self.number("SELECT pg_database_size(current_database())") / MB

    def largest(self) -> str:
        """The five largest tables with their indexes."""
        query = ("SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables "
                 "ORDER BY 2 DESC LIMIT 5")  # fmt: skip
        with self._engine.connect() as connection:
            return ", ".join(f"{name} {size / MB:.1f}" for name, size in connection.execute(text(query)))

    def until(self, query: str, patience_s: float = 600) -> None:
        deadline = time.monotonic() + patience_s
        while not self.number(f"SELECT ({query})::int"):
            if time.monotonic() > deadline:
                raise SystemExit(f"never true: {query}")
            time.sleep(1)


@contextmanager
def serving(layout: Layout, home: Path, *, loop_s: int) -> Iterator[Server]:
    """One server with its services, on the layout's database, with its retention."""
    more = {
        **layout.retention_settings(),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": make_url(layout.database.get_secret_value())
        .set(drivername="postgresql+asyncpg").render_as_string(hide_password=False),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": str(loop_s),
    }  # fmt: skip
    with prefect_server(home / "prefect", more=more) as server:
        yield server


def aged(layout: Layout, home: Path, base: Base, days: int, gone: str) -> float:
    """Megabytes once everything is so many days old and Prefect's service has deleted what `gone` asks for."""
    base.do(f"UPDATE events SET occurred = now() - interval '{days} days'")
    base.do(f"UPDATE event_resources SET occurred = now() - interval '{days} days', updated = occurred")
    base.do(f"UPDATE flow_run SET end_time = now() - interval '{days} days'")
    with serving(layout, home, loop_s=5):
        base.until(gone)
        base.until("SELECT count(*) = 0 FROM event_resources WHERE event_id NOT IN (SELECT id FROM events)")
    return base.megabytes()


if __name__ == "__main__":
    sys.exit(main())
