"""Energy lines beside machines: what the network moved and what storage held, as rows of the same accounts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from blocks.errors import InvalidInput
from tasks.energy.decide.accounting import Accounts, water_ul
from tasks.energy.decide.attribution import ALL
from tasks.energy.decide.power import Machine
from tasks.energy.decide.samples import Floats, Ints, Pool

CCF = "Cloud Carbon Footprint 2026"


@dataclass(frozen=True)
class Line:
    """One kind of line: its name in place of a pool's, the factor that a person may bring, and what counts without.

    kwh: of one unit of the factor.
    """

    pool: str
    factor: str
    kwh: float
    value: float
    unit: str


# Amounts: GB that were moved in the hour; TB that were held in it.
LINES = {
    "network_gb": Line("(network)", "network_kwh_per_gb", 1.0, 0.001, "kWh/GB"),
    "ssd_tb": Line("(storage ssd)", "ssd_wh_per_tbh", 1e-3, 1.2, "Wh/TBh"),
    "hdd_tb": Line("(storage hdd)", "hdd_wh_per_tbh", 1e-3, 0.65, "Wh/TBh"),
}


@dataclass(frozen=True)
class Usage:
    """What was moved and held: a row a cluster, kind and namespace.

    Attributes
    ----------
    start_s: epoch, a whole hour. kind: of `LINES`. namespace: "" where it is not known.
    amount: (K, H) GB moved in the hour, or TB held in it; NaN where that is not known, which counts nothing.
    """

    start_s: int
    cluster: tuple[str, ...]
    kind: tuple[str, ...]
    namespace: tuple[str, ...]
    amount: Floats

    def of_clusters(self, kept: Collection[str]) -> Usage:
        """Only rows of some clusters."""
        rows = [row for row, cluster in enumerate(self.cluster) if cluster in kept]
        cluster, kind, namespace = (tuple(each[row] for row in rows) for each in (
            self.cluster, self.kind, self.namespace))  # fmt: skip
        return replace(self, cluster=cluster, kind=kind, namespace=namespace, amount=self.amount[rows])

    def span(self, start_s: int, end_s: int) -> Usage:
        """[start, end), whole hours; nothing is known where it does not reach."""
        first, last = (start_s - self.start_s) // 3600, (end_s - self.start_s) // 3600
        found = np.full((len(self.amount), last - first), np.nan)
        begin, end = max(first, 0), min(last, self.amount.shape[1])
        if begin < end:
            found[:, begin - first : end - first] = self.amount[:, begin:end]
        return replace(self, start_s=start_s, amount=found)


def add_lines(
    accounts: Accounts, usage: Usage, factors: Mapping[tuple[str, str], tuple[float, str]],
    intensity: Mapping[str, Floats], market: Mapping[str, float], wue: Mapping[str, float],
) -> Accounts:  # fmt: skip
    """The accounts with a row more for each line and hour that is known; all of a line's energy is busy.

    No bounds of such factors are known: low and high are the figure itself. Nothing of its making is counted.

    Parameters
    ----------
    usage: of the same hours. factors: by kind and cluster, value and source, in place of `LINES`'.
    intensity, market, wue: see `account`.

    Raises
    ------
    InvalidInput: a cluster that the accounts have no machines of, a kind that is none, or an amount below 0.
    """
    pools = list(accounts.pools)
    home = {pool.cluster: pool for pool in reversed(pools)}
    place: dict[tuple[str, str], int] = {}
    rows: list[dict[str, Ints | Floats]] = []
    names: list[str] = []
    for cluster, kind, namespace, amount in zip(usage.cluster, usage.kind, usage.namespace, usage.amount, strict=True):
        if kind not in LINES or cluster not in home:
            what = f"{kind!r} is no kind of line" if kind not in LINES else f"no machines of cluster {cluster}"
            raise InvalidInput(what, where="usage", fix=f"give {', '.join(LINES)}, of clusters with samples")
        if (amount < 0).any():
            raise InvalidInput(f"{np.nanmin(amount):g} {kind}", where=f"usage of {cluster}", fix="give 0 or more")
        line, here = LINES[kind], home[cluster]
        value, source = factors.get((kind, cluster), (line.value, CCF))
        if (cluster, kind) not in place:
            place[cluster, kind] = len(pools)
            said = f"{value:g} {line.unit} ({source}), bounds not known"
            machine = Machine(here.machine.cpu_family, 0.0)
            pools.append(Pool(cluster, line.pool, machine, here.zone, here.pue, here.pue_source, said))
        hours = np.flatnonzero(np.isfinite(amount) & (amount > 0))
        it = amount[hours] * value * line.kwh * 1e6
        energy = np.rint(it * here.pue).astype(np.int64)
        carbon, contract = intensity[here.zone][hours], market.get(here.zone)
        nothing = np.zeros(len(hours), np.int64)
        rows.append({
            "pool": np.full(len(hours), place[cluster, kind]), "hour": hours, "busy_mwh": energy, "idle_mwh": nothing,
            "overhead_mwh": np.rint(energy * (1 - 1 / here.pue)).astype(np.int64),
            "low_mwh": energy, "high_mwh": energy,
            "location_mg": np.rint(energy / 1e6 * carbon * 1000).astype(np.int64),
            "market_mg": nothing - 1 if contract is None else np.rint(energy / 1e6 * contract * 1000).astype(np.int64),
            "water_ul": water_ul(energy, np.full(len(hours), here.pue), wue.get(cluster, np.nan)),
            "embodied_mg": nothing, "coverage": np.ones(len(hours)), "intensity": carbon,
        })  # fmt: skip
        names += [namespace or ALL] * len(hours)
    more: dict[str, object] = {
        each.name: np.concatenate([getattr(accounts, each.name), *(row[each.name] for row in rows)])
        for each in fields(Accounts) if rows and each.name in rows[0]
    }  # fmt: skip
    more |= {"namespace": np.concatenate([accounts.namespace, np.array(names, object)]),
             "method": np.concatenate([accounts.method, np.full(len(names), "modelled", object)])}  # fmt: skip
    return replace(accounts, pools=tuple(pools), **more)  # type: ignore[arg-type]
