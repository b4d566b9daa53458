"""Watts that BMCs tell, by node pool."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blocks.errors import ContinuumError
from blocks.fleet import BmcAccess, Fleet
from blocks.inventory import resolve_secrets
from blocks.redfish import PowerReading, Redfish
from blocks.series import Series
from tasks.clusters import side_by_side


def read_bmcs(fleet: Fleet, now_s: int, step_s: int) -> tuple[Series | None, list[str]]:
    """W of each pool whose BMCs all answered, over the steps that their readings are of; None where no pool's did.

    An average holds for its time before now; a reading of the moment for the step that it falls in alone. A pool of
    which one BMC is silent is not known: a part is never taken for the whole.
    """

    def read(access: BmcAccess) -> PowerReading | str:
        try:
            return Redfish(resolve_secrets(access)).power()
        except ContinuumError as error:
            return str(error)

    found: dict[str, list[PowerReading | str]] = {}
    for access, told in zip(fleet.bmcs, side_by_side(read, fleet.bmcs), strict=True):
        found.setdefault(access.node_pool, []).append(told)
    trouble = [
        f"{told}; the pool's power is modelled" for each in found.values() for told in each if isinstance(told, str)
    ]
    known = {pool: [each for each in told if not isinstance(each, str)] for pool, told in found.items()}
    known = {pool: readings for pool, readings in known.items() if len(readings) == len(found[pool])}
    return _on_grid(known, now_s, step_s), trouble


def _on_grid(known: Mapping[str, list[PowerReading]], now_s: int, step_s: int) -> Series | None:
    if not known:
        return None
    here = now_s // step_s  # the step that now falls in
    lasts = {pool: min(each.lasts_s for each in readings) // step_s for pool, readings in known.items()}
    width = max(lasts.values()) + 1
    values = np.full((len(known), width), np.nan, np.float32)
    for row, (pool, readings) in enumerate(known.items()):
        watts = sum(each.watts for each in readings)
        values[row, width - 1 if not lasts[pool] else slice(width - 1 - lasts[pool], width - 1)] = watts
    return Series(tuple(known), (here - width + 1) * step_s, step_s, values)
