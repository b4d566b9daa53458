"""What networks moved and storage held: from a file, or from the series that the flow keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from blocks.errors import InvalidInput
from blocks.series import Series
from tasks.energy.decide.lines import LINES, Usage
from tasks.energy.decide.samples import HOUR_S, hourly_means
from tasks.forecasting.columns import Columns

NEEDED = ("ts", "cluster", "kind", "amount")
MOST_HOURS = 366 * 24
# Fields of `Metrics`, by namespace: the kind that each is, and its units in one of ours, over an hour.
QUERIES = {
    "network_bytes_per_second": ("network_gb", HOUR_S / 1e9), "ssd_bytes": ("ssd_tb", 1e-12),
    "hdd_bytes": ("hdd_tb", 1e-12),
}  # fmt: skip


def read_usage(path: Path) -> tuple[Usage, list[str]]:
    """A CSV or Parquet file `ts, cluster, kind, amount[, namespace]`, and a line for each row that was left out.

    kind: `network_gb` (GB moved; rows of an hour add up), `ssd_tb` or `hdd_tb` (TB held; rows of an hour are averaged).

    Raises
    ------
    InvalidInput: it cannot be read, covers more than a year, or nothing in it can be used.
    """
    table = Columns.read(path, NEEDED)
    time, amount = table.times(), table.number("amount", 0, 1e12)
    assert amount is not None
    code, keys = table.names("cluster", "kind", "namespace")
    known = np.array([key[1] in LINES for key in keys])[code]
    table.refused += [f"line {table.lines[row]}: kind {keys[code[row]][1]!r} is none of {', '.join(LINES)}: left out"
                      for row in np.flatnonzero(~known)[:100]]  # fmt: skip
    good = ~table.wrong & known & np.isfinite(amount)
    if not good.any():
        why = f" ({table.refused[0]})" if table.refused else ""
        raise InvalidInput(f"no row of it can be used{why}", where=str(path), fix=f"give {', '.join(NEEDED)}")
    start_s = int(time[good].min()) // HOUR_S * HOUR_S
    hour = (time - start_s) // HOUR_S
    hours = int(hour[good].max()) + 1
    if hours > MOST_HOURS:
        raise InvalidInput(f"it covers {hours // 24} days", where=str(path), fix="give a year at most")
    sums, counts = np.zeros((len(keys), hours)), np.zeros((len(keys), hours))
    np.add.at(sums, (code[good], hour[good]), amount[good])
    np.add.at(counts, (code[good], hour[good]), 1)
    adds_up = np.array([key[1] == "network_gb" for key in keys])[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(counts > 0, np.where(adds_up, sums, sums / counts), np.nan)
    kept = np.flatnonzero((counts > 0).any(axis=1))
    cluster, kind, namespace = (tuple(keys[row][place] for row in kept) for place in range(3))
    return Usage(start_s, cluster, kind, namespace, found[kept]), table.refused


def usage_of_series(series: Mapping[str, Series]) -> Usage | None:
    """Of series named `cluster/namespace`, by field of `Metrics`; None where there are none."""
    rows = [(kind, name, each.values[row].astype(np.float64) * scale, each)
            for field, (kind, scale) in QUERIES.items() for each in [series[field]]
            for row, name in enumerate(each.unique_id)]  # fmt: skip
    if not rows:
        return None
    amounts = [hourly_means(values, each.step_s) for _, _, values, each in rows]
    cluster, namespace = (tuple(name.split("/", 1)[place] for _, name, _, _ in rows) for place in range(2))
    return Usage(rows[0][3].start_s, cluster, tuple(kind for kind, *_ in rows), namespace, np.stack(amounts))
