"""Short ways to look at a fleet, to change its inventory, and to read what a scaling pass has told."""

from __future__ import annotations

from blocks.fleet import Fleet
from deployments.simulation import Simulation
from flows.demand_forecasting import ForecastRequest
from tasks.pools.observe import read_pools

QUICK = ForecastRequest(history_days=3, engine="seasonal-naive")  # nothing is fitted in the pass


def sizes(fleet: Fleet) -> dict[str, int]:
    """Of the pools that no autoscaler sizes meanwhile."""
    states = {reading.subject: reading.state for reading in read_pools(fleet)[0]}
    return {name: state.desired for name, state in states.items() if state and not state.autoscaled}


def asked_for(simulation: Simulation) -> list[str]:
    """What clients asked of the clouds, without what autoscalers did."""
    return [entry["id"] for entry in simulation.operations() if entry["kind"] != "autoscaler"]


def with_pool(fleet: Fleet, subject: str, **changed: object) -> Fleet:
    clusters = [
        cluster.model_copy(
            update={
                "node_pools": [
                    pool.model_copy(update=changed) if f"{cluster.name}/{pool.name}" == subject else pool
                    for pool in cluster.node_pools
                ]
            }
        )
        for cluster in fleet.clusters
    ]
    return fleet.model_copy(update={"clusters": clusters})


def changes(told: dict) -> list[dict]:
    return [row for row in told["decisions"] if row["action"] in ("up", "down")]
