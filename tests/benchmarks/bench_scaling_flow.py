"""The scaling flow end to end on a large simulated fleet: 1,000 pools, 100 changes, over real sockets; prints JSON.

Run: `python tests/benchmarks/bench_scaling_flow.py [--pools 1000] [--changes 100]`. Must: 60 s and 60 task runs.

A simulated fleet of EKS, GKE and AKS clusters with 20 pools each, its clock at 10 times real speed (operations of the
clouds take half a minute and more), a Prefect server, and the store in SQLite. Somebody has taken two nodes of some
pools; the measured pass, in act mode over every pool, reads clouds, nodes, pods and metrics, decides, records,
changes sizes and waits until every node is Ready. The simulated fleet runs on the same machine, without saving its
state after every write; its CPU time is part of the wall time, and told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from blocks.fleet import Fleet
from deployments.prefect_server import prefect_server
from tasks.pools.observe import PoolReading, read_pools
from tasks.scaling.pool_access import open_pool

POOLS_OF_A_CLUSTER = 20
SPEED = 10.0


def fleet_text(pools: int, of_a_cluster: int = POOLS_OF_A_CLUSTER) -> str:
    """An inventory of so many pools, 20 a cluster: EKS, GKE and AKS in turn, over the regions of each."""
    clusters = [
        {"name": f"c{number:03d}", "site": "frankfurt", "provider": provider, "cloud": cloud,
         "node_pools": [{"name": f"p{pool:02d}", "instance_type": "m5.xlarge", "min_nodes": 1, "max_nodes": 8,
                         "node_cpu": 4, "node_memory": "14Gi", "boot_s": 20, "price_usd_per_hour": 0.192}
                        for pool in range(min(of_a_cluster, pools - number * of_a_cluster))]}
        for number in range(-(-pools // of_a_cluster))
        for provider, cloud in [cloud_of(number)]
    ]  # fmt: skip
    site = {"name": "frankfurt", "tier": "cloud-region", "latitude": 50.1, "longitude": 8.7, "grid_zone": "DE"}
    return yaml.safe_dump({"name": "large", "simulated": True, "metrics": {"url": "http://127.0.0.1:9"},
                           "sites": [site], "clusters": clusters}, sort_keys=False)  # fmt: skip


def cloud_of(number: int) -> tuple[str, dict[str, str]]:
    """Provider and account of a cluster: APIs limit their rates by account and region."""
    place = number // 3 % 6
    return (
        ("eks", {"region": ("eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-south-1", "sa-east-1")[place]}),
        ("gke", {"region": f"europe-west{place + 1}-a", "project": f"simulated-{place}"}),
        ("aks", {"region": "westeurope", "subscription": f"00000000-0000-4000-8000-00000000000{place}",
                 "resource_group": "simulated"}),
    )[number % 3]  # fmt: skip


def measure(folder: Path, pools: int, changes: int) -> dict[str, Any]:
    """Start everything, look once, act once."""
    from blocks.fleet_file import load_fleet
    from blocks.inventory import save_fleet
    from deployments.simulation import ready, starting_simulation
    from flows.cluster_scaling import ScalingRequest, cluster_scaling

    file = folder / "large.yaml"
    file.write_text(fleet_text(pools))
    told: dict[str, Any] = {"pools": pools}
    begun = time.perf_counter()
    with starting_simulation(
        folder / "local", speed=SPEED, seed=7, start="2026-03-10T07:30:00+00:00", fleet=file, keeps_state=False
    ) as child:
        simulation = ready(child)
        told["simulation_start_s"] = round(time.perf_counter() - begun, 1)
        save_fleet(load_fleet(simulation.fleet_file), "default")
        told["shrunk_before"] = shrink(load_fleet(simulation.fleet_file), changes)
        cpu, simulated, begun = cpu_s(), child_cpu_s(folder), time.perf_counter()
        acted = cluster_scaling(ScalingRequest(mode="act"))
        told["wall_s"] = round(time.perf_counter() - begun, 1)
        told["flow_cpu_s"] = round(cpu_s() - cpu, 1)
        told["simulated_fleet_cpu_s"] = round(child_cpu_s(folder) - simulated, 1)
        results = [row["result"] for row in acted["decisions"] if row["result"]]
        told["changes"] = len(results)
        told["states"] = {state: sum(result["state"] == state for result in results)
                          for state in sorted({result["state"] for result in results})}  # fmt: skip
        told["trouble"] = acted["trouble"][:3]
        told["task_runs"] = task_runs(acted["flow_run_id"])
    return told


def shrink(fleet: Fleet, count: int) -> int:
    """Take two nodes of pools behind the flow's back, spread over the clusters; how many."""
    found = [each for each in read_pools(fleet)[0] if each.state and each.state.desired > each.pool.min_nodes + 2]
    chosen = found[:: max(1, len(found) // count)][:count]

    def in_cluster(mine: list[PoolReading]) -> None:
        for reading in mine:
            assert reading.state is not None
            pools = open_pool(fleet, reading.subject).pools
            pools.wait(pools.set_desired(reading.pool.name, reading.state.desired - 2), timeout_s=600)

    groups = [list(group) for _, group in groupby(chosen, key=lambda reading: reading.cluster.name)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(in_cluster, groups))
    return len(chosen)


def cpu_s() -> float:
    """CPU seconds of this process."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def child_cpu_s(folder: Path) -> float:
    """CPU seconds of the simulated fleet whose state lies in the folder."""
    spent = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_text()
            if "deployments.local" in command and str(folder) in command:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def task_runs(flow_run_id: str) -> int:
    """Task runs that the server knows of a flow run; it hears of the last ones a moment later."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        time.sleep(5)
        return len(client.read_task_runs(flow_run_filter=of_run, limit=200))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"CONTINUUM_HOME": str(folder / "home"), "PREFECT_LOGGING_TO_API_ENABLED": "false",
                       "PREFECT_LOGGING_LEVEL": "ERROR"}  # fmt: skip
        with prefect_server(folder / "prefect") as server:
            from prefect.settings import PREFECT_API_URL, temporary_settings

            with temporary_settings({PREFECT_API_URL: server.env["PREFECT_API_URL"]}):
                told = measure(folder, asked.pools, asked.changes)
    json.dump(told, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
