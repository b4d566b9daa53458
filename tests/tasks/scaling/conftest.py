from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from blocks.series import Forecast
from tasks.scaling.decide import POLICIES, Observed, Policy, Pools, Reason, ReasonCode, ScalingDecisions, decide_scaling

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
GIB = 2.0**30
LEVELS = (0.1, 0.5, 0.9)

# One calm pool: 6 nodes of 4 cores and 16 GiB; usage needs 5 of them, and so does the forecast.
CALM: dict[str, Any] = {
    "min_nodes": 1, "max_nodes": 20, "node_cpu_cores": 4.0, "node_memory_bytes": 16 * GIB, "boot_s": 240.0,
    "price_usd_per_hour": 0.2, "hands_off": False, "owner": "", "fixed": False, "multiple_of": 1,
    "desired": 6, "ready": 6, "busy": False, "cpu_cores": 12.0, "memory_bytes": 32 * GIB, "age_s": 60.0,
    "last_up_s": np.inf, "last_change_s": np.inf, "recent_want": np.nan, "reachable": True,
}  # fmt: skip
POOL_COLUMNS = (
    "min_nodes", "max_nodes", "node_cpu_cores", "node_memory_bytes", "boot_s", "price_usd_per_hour",
    "hands_off", "fixed", "multiple_of",
)  # fmt: skip
OBSERVED_COLUMNS = (
    "desired", "ready", "busy", "cpu_cores", "memory_bytes",
    "age_s", "last_up_s", "last_change_s", "recent_want", "reachable",
)  # fmt: skip
# columns that are None where nobody names them
POOL_OPTIONS = ("node_gpus", "node_pods", "scheduled_nodes", "paid_nodes")
OBSERVED_OPTIONS = (
    "pending_pods", "interrupted_nodes", "reserved_nodes", "removable_nodes", "quota_nodes", "frozen", "growth_only",
)  # fmt: skip
REQUESTED = ("requested_cpu_cores", "requested_memory_bytes", "requested_gpus", "requested_pods")
OPTIONS = {*POOL_OPTIONS, *OBSERVED_OPTIONS, *REQUESTED}


@dataclass(frozen=True)
class Scene:
    pools: Pools
    observed: Observed
    forecast: Forecast | None
    policy: Policy

    def decide(self, as_of: datetime = NOW) -> ScalingDecisions:
        return decide_scaling(self.pools, self.observed, self.forecast, self.policy, as_of)


class Stage:
    """Builds scenes: every column not named is that of the calm pool; scalars are spread over the pools."""

    now, levels, calm = NOW, LEVELS, CALM

    def scene(
        self,
        count: int = 1,
        *,
        names: Sequence[str] | None = None,
        policy: str = "predictive",
        numbers: dict[str, Any] | None = None,
        forecast: Forecast | str | None = "flat",
        peak_cpu: Any = 14.0,
        peak_memory: Any = 32 * GIB,
        forecast_age_s: float = 60.0,
        steps: int = 12,
        **columns: Any,
    ) -> Scene:
        unknown = set(columns) - set(CALM) - OPTIONS
        assert not unknown, unknown
        table = {name: np.broadcast_to(np.asarray(columns.get(name, CALM[name])), (count,)).copy() for name in CALM}
        ids = tuple(names) if names else ("eu-eks/web",) if count == 1 else tuple(f"c{i:03d}/web" for i in range(count))
        given = {name: np.broadcast_to(np.asarray(columns[name]), (count,)).copy() for name in OPTIONS & set(columns)}
        pools = Pools(
            unique_id=ids, owner=tuple(table["owner"].tolist()), **{name: table[name] for name in POOL_COLUMNS},
            **{name: given[name] for name in POOL_OPTIONS if name in given},
        )  # fmt: skip
        requested = None
        if set(REQUESTED) & set(given):
            requested = np.stack([given.get(name, np.zeros(count)) for name in REQUESTED], axis=1).astype(np.float64)
        observed = Observed(
            **{name: table[name] for name in OBSERVED_COLUMNS}, requested=requested,
            **{name: given[name] for name in OBSERVED_OPTIONS if name in given},
        )  # fmt: skip
        if forecast == "flat":
            forecast = self.forecast(ids, peak_cpu, peak_memory, age_s=forecast_age_s, steps=steps)
        assert not isinstance(forecast, str)
        return Scene(
            pools,
            observed,
            forecast,
            replace(
                POLICIES[policy],
                **(
                    (
                        {"reactive_target_ratio": 0.70, "quantile": 0.90, "outrun_gain": 0.0}
                        if policy == "predictive"
                        else {}
                    )
                    | (numbers or {})
                ),
            ),
        )

    def forecast(
        self, ids: Sequence[str], peak_cpu: Any, peak_memory: Any, *, age_s: float = 60.0, steps: int = 12
    ) -> Forecast:
        """Flat over time; the p90 is the peak, the median 90 % and the p10 80 % of it. Last axis of a peak: steps."""
        rows = []
        for peak in (peak_cpu, peak_memory):
            flat = np.asarray(peak, dtype=np.float64)
            over = flat if flat.ndim == 2 else np.broadcast_to(flat.reshape(-1, 1), (len(ids), steps))
            rows.append(over[:, :, None] * np.array([0.8, 0.9, 1.0]))
        values = np.concatenate(rows).astype(np.float32)
        names = tuple(f"{name}/cpu_cores" for name in ids) + tuple(f"{name}/memory_bytes" for name in ids)
        made = NOW - timedelta(seconds=age_s)
        return Forecast(
            names,
            made,
            int(NOW.timestamp()),
            300,
            LEVELS,
            values,
            np.maximum.accumulate(values, axis=1),
            ("test",) * len(names),
        )


def reason(decisions: ScalingDecisions, code: ReasonCode, row: int = 0) -> Reason | None:
    return next((found for found in decisions.reasons[row] if found.code == code), None)


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="session")
def reason_of() -> Any:
    return reason
