"""Migration replayed without a fleet: on a person's own trace, or on a made-up one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.forecasting.columns import Columns
from tasks.migration.decide.policies import POLICIES
from tasks.migration.decide.replay import Score, course_of, first_places, optimum, play
from tasks.migration.decide.world import Trace, made_up

NEEDED = ("ts", "workload", "site", "latency_ms", "cost_usd", "error_ratio", "moved_bytes")
MOST_CELLS = 400_000_000  # slots x workloads x sites: 8 GB of numbers
GB = 1e9


@dataclass(frozen=True)
class Replayed:
    """Scores by policy, and what was played."""

    policies: dict[str, Score]
    workloads: int
    sites: int
    slots: int
    slot_s: float
    seconds: float
    refused: list[str] = field(default_factory=list)


def replay(
    path: Path | None, seed: int, names: Sequence[str], told: Callable[[str, int, int], None] = lambda *_: None
) -> Replayed:
    """Play policies over a file, or over the made-up fleet of a seed. `told` is called with policy, slot and slots.

    Raises
    ------
    InvalidInput: no such policy, or the file cannot be used.
    """
    unknown = [name for name in names if name not in POLICIES]
    if unknown:
        raise InvalidInput(f"there is no policy {unknown[0]!r}", where="--policy", fix=f"give {', '.join(POLICIES)}")
    begin = time.perf_counter()
    trace, refused = (made_up(seed), []) if path is None else _read_trace(path)
    course = course_of(trace)
    places = first_places(course)
    if optimum(course, places) <= 0:
        raise InvalidInput("the best course costs nothing, and a ratio to nothing says nothing", where=str(path),
                           fix="give latencies and costs above 0")  # fmt: skip
    slots, workloads, sites = course.truth.shape
    scores = {name: play(course, POLICIES[name], places, lambda slot, name=name: told(name, slot, slots))  # type: ignore[misc]
              for name in names or POLICIES}  # fmt: skip
    return Replayed(scores, workloads, sites, slots, trace.slot_s, time.perf_counter() - begin, refused)


def _read_trace(path: Path) -> tuple[Trace, list[str]]:
    """A trace of `ts, workload, site, latency_ms, cost_usd, error_ratio, moved_bytes`; and what of it was refused.

    A row is what a workload had, or would have had, at a site in a slot: both what a policy sees (in later slots) and
    what a place costs. A site without a row in a slot cannot be gone to then; where a workload is, its last row holds.

    Raises
    ------
    InvalidInput: no such file, a column is missing, less than two slots or sites, or too many cells.
    """
    table = Columns.read(path, NEEDED)
    when = table.times()
    latency, cost, errors, moved = (table.number(name, 0, most) for name, most in (
        ("latency_ms", 1e7), ("cost_usd", 1e9), ("error_ratio", 1), ("moved_bytes", 1e18)))  # fmt: skip
    names = table.names("workload")[0], table.names("site")[0]
    good = ~table.wrong
    assert latency is not None and cost is not None and errors is not None and moved is not None  # noqa: PT018
    good &= np.isfinite(latency) & np.isfinite(cost) & np.isfinite(errors)
    moments = np.unique(when[good])
    # a name that only refused rows have is nobody
    (who, workloads), (where, sites) = (_named(each, good) for each in names)
    if len(moments) < 2 or len(sites) < 2:
        why = f" ({table.refused[0]})" if table.refused else ""
        raise InvalidInput(f"it has {len(moments)} slots and {len(sites)} sites{why}", where=str(path),
                           fix="give two of each at least")  # fmt: skip
    slot_s = int(np.bincount(np.minimum(np.diff(moments), 86_400)).argmax())
    slot = (when - moments[0]) // slot_s
    slots = int(slot[good].max()) + 1
    if slots * len(workloads) * len(sites) > MOST_CELLS:
        much = f"{slots} slots x {len(workloads)} workloads x {len(sites)} sites"
        first, last = (np.datetime64(int(each), "s") for each in moments[[0, -1]])
        raise InvalidInput(f"{much} are too many, from {first} to {last}", where=str(path),
                           fix="give fewer days, or a part of the fleet")  # fmt: skip
    shape = slots, len(workloads), len(sites)

    def dense(values: NDArray[np.float64], missing: float) -> NDArray[np.float32]:
        found = np.full(shape, missing, np.float32)
        found[slot[good], who[good], where[good]] = values[good]
        return found

    seen = dense(latency, np.nan), dense(cost, np.nan)
    truth = [_carried(each) for each in seen]
    size = np.zeros(len(workloads))
    np.maximum.at(size, who[good], np.nan_to_num(moved[good]))
    doubled = int(good.sum()) - len(np.unique((slot * len(workloads) + who)[good] * len(sites) + where[good]))
    if doubled:
        table.refused.append(f"{doubled} rows repeat a slot of their workload and site: the last one counts")
    trace = Trace(truth[0], truth[1], dense(errors, 0.0), *seen, (size / GB).astype(np.float32), slot_s)
    return trace, table.refused


def _named(codes: NDArray[np.int32], good: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Codes from 0 on of what good rows have, and those codes as they were."""
    found = np.unique(codes[good])
    return np.searchsorted(found, codes), found


def _carried(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each gap in time filled with the value before it; what was never measured stays unknown."""
    found = values.copy()
    for slot in range(1, len(found)):
        found[slot] = np.where(np.isnan(found[slot]), found[slot - 1], found[slot])
    return found
