"""The inventory as tables and totals for a terminal, with units and without secrets."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from blocks.fleet import Cluster, Fleet, NodePool
from blocks.fleet_checks import secret_kind

GIB = 2**30


def totals(fleet: Fleet) -> dict[str, float | int | None]:
    """Sums over the fleet; the prices count only pools that have one, and are None where none has."""
    pools = [pool for _, pool in fleet.pools()]
    priced = [pool for pool in pools if pool.usd_per_hour is not None]
    return {
        "sites": len(fleet.sites),
        "clusters": len(fleet.clusters),
        "node_pools": len(pools),
        "workloads": len(fleet.workloads),
        "min_nodes": sum(pool.min_nodes for pool in pools),
        "max_nodes": sum(pool.max_nodes for pool in pools),
        "max_cpu_cores": round(sum(pool.max_nodes * pool.node_cpu for pool in pools), 3),
        "max_memory_bytes": sum(pool.max_nodes * pool.node_memory for pool in pools),
        "max_usd_per_hour": round(sum(pool.max_nodes * (pool.usd_per_hour or 0) for pool in priced), 4)
        if priced
        else None,
        "pools_without_price": len(pools) - len(priced),
    }


def totals_line(fleet: Fleet) -> str:
    """The totals in one line with units."""
    sums = totals(fleet)
    price = sums["max_usd_per_hour"]
    cost = "no prices" if price is None else f"at most {price:g} USD/h"
    if price is not None and sums["pools_without_price"]:
        cost += f" ({sums['pools_without_price']} pools without a price)"
    return (
        f"{count(len(fleet.sites), 'site')}, {count(len(fleet.clusters), 'cluster')}, "
        f"{count(len(fleet.pools()), 'node pool')}, "
        f"{sums['min_nodes']}-{sums['max_nodes']} nodes, at most {sums['max_cpu_cores']:g} cores and "
        f"{(sums['max_memory_bytes'] or 0) / GIB:.4g} GiB, {cost}"
    )


def write_tables(fleet: Fleet, console: Console) -> None:
    """Sites, then node pools by cluster, then the totals."""
    console.print(_sites(fleet), _pools(fleet))
    simulated = " (simulated)" if fleet.simulated else ""
    console.print(Text(f"{fleet.name}{simulated}: {totals_line(fleet)}"), soft_wrap=True)


def _sites(fleet: Fleet) -> Table:
    table = Table(title="Sites", title_justify="left")
    for heading in ("site", "tier", "location", "degrees N, E", "time zone", "grid zone"):
        table.add_column(heading)
    for heading in ("PUE", "clusters"):
        table.add_column(heading, justify="right")
    clusters = Counter(cluster.site for cluster in fleet.clusters)
    for site in fleet.sites:
        place = f"{site.latitude:.2f}, {site.longitude:.2f}"
        row = (site.name, site.tier.value, site.location, place, site.time_zone, site.grid_zone or "-")
        table.add_row(*map(Text, (*row, f"{site.pue:g}", str(clusters[site.name]))))
    return table


def _pools(fleet: Fleet) -> Table:
    table = Table(title="Node pools", title_justify="left")
    for heading in ("cluster", "site", "provider", "Kubernetes API", "pool", "instance type"):
        table.add_column(heading)
    for heading in ("nodes min-max", "cores/node", "GiB/node", "boot s", "USD/h", "autoscaler"):
        table.add_column(heading, justify="right")
    for cluster in fleet.clusters:
        head = (cluster.name, cluster.site, cluster.provider.value, _access(cluster))
        for pool in cluster.node_pools:
            table.add_row(*map(Text, (*head, *_pool(pool))))
            head = ("", "", "", "")
        table.add_section()
    return table


def _pool(pool: NodePool) -> tuple[str, ...]:
    price = "-" if pool.usd_per_hour is None else f"{pool.usd_per_hour:g}"
    scaler = pool.autoscaler.value + (", hands off" if pool.hands_off else "")
    size = (f"{pool.node_cpu:g}", f"{pool.node_memory / GIB:.3g}", f"{pool.boot_s:g}")
    return (pool.name, pool.instance_type, f"{pool.min_nodes}-{pool.max_nodes}", *size, price, scaler)


def _access(cluster: Cluster) -> str:
    """The context or server, and where its token comes from."""
    access = cluster.kubernetes
    if access.server is None:
        return f"context {access.context or cluster.name}"
    if access.token is None:
        return access.server
    text = access.token.get_secret_value()
    return f"{access.server}, token {text if secret_kind(text) in ('environment', 'block') else 'typed in the file'}"


def count(number: int, noun: str) -> str:
    """A number and its noun.

    >>> count(1, "site"), count(2, "site")
    ('1 site', '2 sites')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
