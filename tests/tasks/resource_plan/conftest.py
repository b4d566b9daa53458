from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from blocks.series import Forecast
from tasks.resource_plan.decide import PlanPolicy, PlanPools, ResourcePlan, decide_plan

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
GIB = 2.0**30
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
STEPS = 96
POLICY = PlanPolicy(quantile=0.975)  # what `forecast` is given is the p97.5

# One calm pool: 6 nodes of 4 cores and 16 GiB; its day needs 5 of them at 90 %.
CALM: dict[str, Any] = {
    "current": 6, "ready": 6, "min_nodes": 1, "max_nodes": 20, "boot_s": 240.0, "price_usd_per_hour": 0.2,
    "paid_nodes": 0,
    "multiple_of": 1, "reachable": True,
}  # fmt: skip


class Stage:
    """Builds plans: every column that is not named is that of the calm pool; scalars are spread over the pools."""

    now, levels, steps, gib, policy = NOW, LEVELS, STEPS, GIB, POLICY

    def pools(self, count: int = 1, *, names: Sequence[str] = (), owner: str = "", gpus: Any = np.nan,
              gpus_requested: Any = np.nan, storage: Any = np.nan, storage_requested: Any = np.nan,
              **columns: Any) -> PlanPools:  # fmt: skip
        assert not set(columns) - set(CALM), columns
        table = {name: np.broadcast_to(np.asarray(columns.get(name, CALM[name])), (count,)).copy() for name in CALM}
        per_node = [np.broadcast_to(np.asarray(each, np.float64), (count,)) for each in (4.0, 16 * GIB, gpus, storage)]
        asked = [np.broadcast_to(np.asarray(each, np.float64), (count,))
                 for each in (np.nan, np.nan, gpus_requested, storage_requested)]  # fmt: skip
        ids = tuple(names) or tuple(f"c{row:03d}/web" for row in range(count))
        return PlanPools(unique_id=ids, owner=(owner,) * count, node_sizes=np.stack(per_node, axis=1),
                         requested=np.stack(asked, axis=1), **table)  # fmt: skip

    def forecast(self, pools: PlanPools, cpu: Any = 18.0, memory: Any = 32 * GIB, *, age_s: float = 0.0,
                 spread: float = 0.02) -> Forecast:  # fmt: skip
        """The p97.5 is what is given (scalar, per step, or per pool and step); the others lie `spread` apart below."""
        count = len(pools.unique_id)
        rows = [np.broadcast_to(np.asarray(kind, np.float64), (count, STEPS)) for kind in (cpu, memory)]
        values = np.concatenate(rows)[:, :, None] * (1 - spread * np.arange(4, -1, -1.0))
        names = tuple(f"{name}/{kind}" for kind in ("cpu_cores", "memory_bytes") for name in pools.unique_id)
        made = NOW - timedelta(seconds=age_s)
        small = values.astype(np.float32)
        return Forecast(names, made, int(made.timestamp()), 900, LEVELS, small, np.maximum.accumulate(small, axis=1),
                        ("test",) * len(names))  # fmt: skip

    def plan(self, pools: PlanPools, forecast: Forecast | None, policy: PlanPolicy | None = None) -> ResourcePlan:
        return decide_plan(pools, forecast, policy or POLICY, NOW)


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage()
