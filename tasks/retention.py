"""Forget what is old in the store, a little at a time, and tell how much it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.store.retention import Keep, forget
from blocks.store.series import SeriesStore
from blocks.store.tables import now
from tasks.publish import publish
from tasks.run import Run
from tasks.sections import section


@task(name="forget what is old", cache_policy=NO_CACHE, persist_result=False)
def forget_old(run: Run, looked_days: int, done_days: int) -> dict[str, int]:
    """Rows by table, and files, that were deleted."""
    return forget(run.store, SeriesStore.open(), now(), Keep(looked_days, done_days))


def publish_forgotten(run: Run, forgotten: Mapping[str, int]) -> dict[str, Any]:
    """Save and show what was forgotten, and return it."""
    size = run.store.size_bytes()
    words = f"{sum(forgotten.values()):,} rows and files were forgotten. The store takes {size / 2**20:,.1f} MiB."
    rows = [[name, count] for name, count in forgotten.items()]
    publish(run, [section("Store: what was forgotten", [words], ("what", "forgotten"), rows)])
    return {"flow_run_id": run.id, "as_of": run.began_at.isoformat(), "forgotten": dict(forgotten),
            "store_bytes": size, "trouble": []}  # fmt: skip
