"""Whose energy it is: busy energy by what namespaces used, idle energy by what they requested."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.energy.decide.samples import Shares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

IDLE, ALL = "(idle)", "(all)"  # what nobody requested; a pool whose namespaces are not known


@dataclass(frozen=True)
class SharedRows:
    """Rows to share out to: the group (pool and hour) of each, its namespace, its weights for busy and idle energy."""

    group: Ints
    namespace: NDArray[np.object_]
    busy: Floats
    idle: Floats


def shared_rows(cores: Floats, shares: Shares | None, pool: Ints, hour: Ints) -> SharedRows:
    """A row for each namespace with a share in a group, one for what nobody requested; ordered by group, then name.

    cores: (P, H) that each pool had. pool, hour: (G,) of each group.
    """
    groups = np.full(cores.shape, -1, np.int64)
    groups[pool, hour] = np.arange(len(pool))
    used, asked = _shares_of(shares, cores.shape[1])
    group, who, busy, idle = [], [], [], []
    total_used, total_asked = np.zeros(len(pool)), np.zeros(len(pool))
    for number in range(len(used)):
        assert shares is not None  # else there are no rows of it  # nosec B101
        mine = groups[shares.pool[number]]
        hours = np.flatnonzero((mine >= 0) & ((used[number] > 0) | (asked[number] > 0)))
        group.append(mine[hours])
        who.append(np.full(len(hours), shares.namespace[number], object))
        busy.append(used[number, hours])
        idle.append(asked[number, hours])
        np.add.at(total_used, mine[hours], used[number, hours])
        np.add.at(total_asked, mine[hours], asked[number, hours])
    unknown = np.flatnonzero(total_used <= 0)
    rest = np.arange(len(pool))
    group += [unknown, rest]
    who += [np.full(len(unknown), ALL, object), np.full(len(rest), IDLE, object)]
    busy += [np.ones(len(unknown)), np.zeros(len(rest))]
    idle += [np.zeros(len(unknown)), np.maximum(cores[pool, hour] - total_asked, np.where(total_asked > 0, 0.0, 1.0))]
    all_group, all_who = np.concatenate(group), np.concatenate(who)
    order = np.lexsort((all_who.astype(str), hour[all_group], pool[all_group]))
    return SharedRows(all_group[order], all_who[order], np.concatenate(busy)[order], np.concatenate(idle)[order])


def _shares_of(shares: Shares | None, hours: int) -> tuple[Floats, Floats]:
    if shares is None:
        return np.zeros((0, hours)), np.zeros((0, hours))
    clean = [np.where(np.isfinite(each) & (each > 0), each, 0.0) for each in (shares.used, shares.requested)]
    return clean[0], clean[1]
