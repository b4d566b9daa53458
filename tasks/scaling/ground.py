"""The pools that a replay plays on: sizes, bounds, price and grid of their nodes; from a file, or plain ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from blocks import tables
from blocks.errors import InvalidInput, NotFound
from blocks.fleet import Fleet, pool_id
from blocks.fleet_values import Cores, Count, Model, Number
from blocks.series import Series, utc
from tasks.scaling.decide.inputs import Pools
from tasks.scaling.decide.replay import Energy

Floats = NDArray[np.float64]
PEAK_NODES, MIN_NODES, MAX_NODES = 20, 2, 40  # without a pool file: the 99th percentile of a series fills 20 nodes
CPU_FAMILY, PUE = "icelake", 1.2  # where the file names none


class ReplayPool(Model):
    """A pool file: the pool that serves each of the series, described as in fleet.yaml."""

    node_cpu: Cores = Field(gt=0, description="allocatable CPU of one node, in the unit of the demand, e.g. `3920m`")
    min_nodes: Count = Field(MIN_NODES, ge=0, description="never fewer nodes than this")
    max_nodes: Count = Field(MAX_NODES, ge=1, description="never more nodes than this")
    boot_s: Number | None = Field(None, gt=0, le=3600, description="seconds from the request to a Ready node")
    instance_type: str | None = Field(None, description="an AWS type gives the price where price_usd_per_hour does not")
    price_usd_per_hour: Number | None = Field(None, ge=0, description="USD per node-hour")
    grid_zone: str | None = Field(None, description="electricity grid zone, e.g. `DE`")
    cpu_family: str = Field(CPU_FAMILY, description="of the servers' power at a load, e.g. `icelake`")
    pue: Number = Field(PUE, ge=1, le=3, description="power usage effectiveness, ratio")


@dataclass(frozen=True)
class Ground:
    """One pool for each of S series.

    Attributes
    ----------
    unique_id: S names. node_cpu_cores, min_nodes, max_nodes, price_usd: (S,); NaN: no price is known.
    boot_s: (S,) or None: the caller's.
    grid_zone: S names, or none where one is not known: then no sum of carbon would be true.
    pue: (S,) or None. cpu_family: of all servers.
    """

    unique_id: tuple[str, ...]
    node_cpu_cores: Floats
    min_nodes: NDArray[np.int64]
    max_nodes: NDArray[np.int64]
    price_usd: Floats
    boot_s: Floats | None = None
    grid_zone: tuple[str, ...] = ()
    pue: Floats | None = None
    cpu_family: str = CPU_FAMILY

    def pools(self, boot_min: int) -> Pools:
        """As `decide_scaling` takes them; boot times in whole minutes."""
        count = len(self.unique_id)
        boot = np.full(count, 60.0 * boot_min) if self.boot_s is None else np.ceil(self.boot_s / 60) * 60
        return Pools(
            unique_id=self.unique_id,
            min_nodes=self.min_nodes,
            max_nodes=self.max_nodes,
            node_cpu_cores=self.node_cpu_cores,
            node_memory_bytes=np.full(count, np.inf),
            boot_s=boot,
            price_usd_per_hour=self.price_usd,
            hands_off=np.zeros(count, np.bool_),
            owner=("",) * count,
            fixed=np.zeros(count, np.bool_),
        )

    def price_usd_per_hour(self) -> Floats | None:
        """(S,) None where a pool has no price: then no sum would be true."""
        return None if np.isnan(self.price_usd).any() else self.price_usd

    def energy(self, start_s: int, minutes: int) -> Energy | None:
        """Power and carbon of the nodes, by the typical day of each month in the grid zones; None without zones."""
        if not self.grid_zone:
            return None
        zones, place = np.unique(np.array(self.grid_zone), return_inverse=True)
        hours = [utc(start_s + 3600 * hour) for hour in range(minutes // 60 + 2)]
        profiles = [tables.carbon_profile(str(zone)).mean_g_per_kwh for zone in zones]
        by_hour = np.array([[profile[when.month - 1, when.hour] for when in hours] for profile in profiles])
        pue = np.full(len(place), PUE) if self.pue is None else self.pue
        return Energy(
            threads=np.ceil(self.node_cpu_cores) * pue,
            watts=tables.watts_per_thread(self.cpu_family, np.linspace(0.0, 1.0, 11)),
            zone=place.astype(np.int64),
            g_per_kwh=by_hour[:, (start_s % 3600 // 60 + np.arange(minutes)) // 60],
        )


def plain_ground(history: Series) -> Ground:
    """Pools whose nodes are the twentieth part of each series' 99th percentile, 2 to 40 of them.

    Raises
    ------
    InvalidInput: a series is zero nearly always, so that it has no size.
    """
    tops = np.nanquantile(history.values.astype(np.float64), 0.99, axis=1)
    if not (tops > 0).all():
        name = history.unique_id[int(np.argmin(tops > 0))]
        raise InvalidInput("its 99th percentile is zero, so it has no size", where=f"series {name}",
                           fix="leave it out, or give --pool FILE")  # fmt: skip
    count = len(tops)
    return Ground(history.unique_id, tops / PEAK_NODES, np.full(count, MIN_NODES), np.full(count, MAX_NODES),
                  np.full(count, np.nan))  # fmt: skip


def ground_of_file(path: Path, history: Series) -> Ground:
    """The same pool for every series, as a YAML file describes it.

    Raises
    ------
    InvalidInput: the file cannot be read or does not describe a pool.
    """
    try:
        pool = ReplayPool.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise InvalidInput(f"cannot be read ({error.strerror})", where=str(path), fix="give a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"is no YAML ({str(error).splitlines()[0]})", where=str(path),
                           fix="write `node_cpu: 4` and what else fleet.yaml says of a pool") from error  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{path}: {'.'.join(map(str, first['loc'])) or 'the file'}"
        known = ", ".join(ReplayPool.model_fields)
        raise InvalidInput(first["msg"], where=where, fix=f"a pool file has {known}") from error
    if pool.min_nodes > pool.max_nodes:
        raise InvalidInput("min_nodes is above max_nodes", where=str(path), fix="swap them")
    try:
        price = pool.price_usd_per_hour
        if price is None and pool.instance_type:
            price = tables.aws_usd_per_hour(pool.instance_type)
        if pool.grid_zone:
            tables.carbon_profile(pool.grid_zone)
        tables.watts_per_thread(pool.cpu_family, 0.0)
    except NotFound as error:
        raise InvalidInput(error.what, where=str(path), fix=error.fix) from error
    count = len(history.unique_id)
    return Ground(
        history.unique_id, np.full(count, pool.node_cpu), np.full(count, pool.min_nodes),
        np.full(count, pool.max_nodes), np.full(count, np.nan if price is None else price),
        None if pool.boot_s is None else np.full(count, pool.boot_s),
        (pool.grid_zone,) * count if pool.grid_zone else (), np.full(count, pool.pue), pool.cpu_family,
    )  # fmt: skip


def ground_of_fleet(fleet: Fleet, history: Series) -> Ground:
    """The pools of an inventory, for series named `cluster/pool`."""
    found = {pool_id(cluster.name, pool.name): (fleet.site(cluster.site), pool) for cluster, pool in fleet.pools()}
    sites, pools = zip(*(found[name] for name in history.unique_id), strict=True)
    zones = [site.grid_zone for site in sites]
    known = all(zone in tables.carbon_zones() for zone in zones)
    return Ground(
        history.unique_id,
        np.array([pool.node_cpu for pool in pools]),
        np.array([pool.min_nodes for pool in pools]),
        np.array([pool.max_nodes for pool in pools]),
        np.array([np.nan if pool.usd_per_hour is None else pool.usd_per_hour for pool in pools]),
        np.array([pool.boot_s for pool in pools]),
        tuple(map(str, zones)) if known else (),
        np.array([site.pue for site in sites]),
    )
