"""What decisions came to: violation minutes and node-hours, as they were and as a rule would have had them.

Everything is counted by the minute and summed in bins of `BIN_MIN`, from which any window is put together. A minute in
which demand or a size is not known counts nowhere; how many counted is part of every sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tasks.scaling.decide.inputs import Bool, Float, Int
from tasks.scaling.decide.policies import Policy

BIN_MIN = 5
STALE_MIN = 30  # a size that no pass has confirmed for longer is not known


@dataclass(frozen=True, eq=False)
class Span:
    """Demand of P pools over M minutes, and K passes that looked at them.

    Attributes
    ----------
    unique_id: P names. start_s: time of the first minute, seconds since 1970 UTC, a multiple of the bin.
    load: (P, M) demand in nodes at 100 %, of the resource that needs most; NaN unknown.
    at_min: (K,) minute of each pass, ascending; the first ones may lie before the span (below zero).
    desired, ready, want: (P, K) as the pass saw and decided them; NaN where it did not look at the pool.
    acted_to: (P, K) nodes that the pass really asked for; NaN where it did not act.
    low, high: (P, K) bounds; NaN like `desired`.
    boot_min: (P,) minutes from the request to a Ready node.
    """

    unique_id: tuple[str, ...]
    start_s: int
    load: Float
    at_min: Int
    desired: Float
    ready: Float
    want: Float
    acted_to: Float
    low: Float
    high: Float
    boot_min: Int

    @property
    def minutes(self) -> int:
        """Minutes of the span."""
        return int(self.load.shape[1])


@dataclass(frozen=True, eq=False)
class Tally:
    """(P, G) by bin: minutes in violation, nodes asked for times minutes, and the minutes that were counted."""

    violation_minutes: Float
    node_minutes: Float
    minutes: Float

    def between(self, first: int, last: int) -> Tally:
        """(P, 1) the sums of the bins from `first` until before `last`."""
        return Tally(*(column[:, first:last].sum(axis=1, keepdims=True) for column in vars(self).values()))


# A rule that might have sized the pools instead, played over the same demand.
Baseline = Callable[[Span], Tally]


@dataclass(frozen=True, eq=False)
class Live:
    """Sizes of the rule that is live without us: (P, K) nodes, and what is carried on into the next span.

    Attributes
    ----------
    nodes: (P, K) sizes; NaN unknown. acting: (P, K) the size that was seen is ours.
    held: (P,) the size that the pool had before we acted on it; NaN where we do not.
    set_to: (P,) the size that we set last; NaN where somebody else has changed it since.
    """

    nodes: Float
    acting: Bool
    held: Float
    set_to: Float


def live_sizes(span: Span, held: Float, set_to: Float, carry_min: int) -> Live:
    """What sizes the pools would have without us.

    While we do not act it is what was seen. From our first act on it is the size of before: only pools that nobody else
    sizes are acted upon, so without us they would have stayed. As soon as somebody else changes the size it is what is
    seen again.

    Parameters
    ----------
    held, set_to:
        (P,) as of `Live`, from the span before.
    carry_min:
        minute where the next span begins: `held` and `set_to` are answered as they are then.
    """
    nodes, acting = np.full(span.desired.shape, np.nan), np.zeros(span.desired.shape, np.bool_)
    carried = held, set_to
    for column, minute in enumerate(span.at_min.tolist()):
        seen = span.desired[:, column]
        others = np.isfinite(seen) & np.isfinite(set_to) & (seen != set_to) & (seen != held)
        held, set_to = np.where(others, np.nan, held), np.where(others, np.nan, set_to)
        nodes[:, column] = np.where(np.isfinite(seen), np.where(np.isfinite(held), held, seen), np.nan)
        acting[:, column] = np.isfinite(set_to)
        acted = np.isfinite(span.acted_to[:, column])
        held = np.where(acted & np.isnan(held), seen, held)
        set_to = np.where(acted, span.acted_to[:, column], set_to)
        carried = (held, set_to) if minute < carry_min else carried
    return Live(nodes, acting, *carried)


def own_sizes(span: Span, acting: Bool, policy: Policy) -> Float:
    """(P, K) sizes that our decisions lead to: as they were while we act, else those that our recorded wants lead to.

    In shadow each pass decides on the size that somebody else has given the pool; what it *wanted* does not depend on
    that. So the wants are followed in a loop of their own, with the policy's step limits, stabilisation and cooldown,
    within the bounds. Guards that look at the rest of the fleet (budgets, quota) are left out.

    Parameters
    ----------
    acting:
        (P, K) whether the size was ours at that pass.
    policy:
        how it follows what it wants; of numbers that differ from pool to pool the largest.
    """
    window_s, rest_s = float(np.max(policy.down_stabilisation_s)), float(np.max(policy.no_down_after_up_s))
    size, last_up = np.full(len(span.unique_id), np.nan), np.full(len(span.unique_id), -np.inf)
    sizes = np.full(span.desired.shape, np.nan)
    for column, minute in enumerate(span.at_min.tolist()):
        seen, want = span.desired[:, column], span.want[:, column]
        size = np.where(acting[:, column] | np.isnan(size), seen, size)
        wish = np.clip(want, span.low[:, column], span.high[:, column])
        recent = (minute - span.at_min) * 60.0
        lately = span.want[:, (recent >= 0) & (recent <= window_s)]
        most = np.where(np.isnan(lately), -np.inf, lately).max(axis=1, initial=-np.inf)
        up = np.maximum(policy.max_step_up_nodes, np.floor(size * policy.max_step_up_ratio))
        down = np.maximum(policy.max_step_down_nodes, np.floor(size * policy.max_step_down_ratio))
        grown = np.minimum(wish, size + up)
        rests = (minute - last_up) * 60.0 < rest_s
        shrunk = np.where(rests, size, np.maximum(np.maximum(wish, np.minimum(most, size)), size - down))
        chosen = np.where(wish > size, grown, np.where(wish < size, shrunk, size))
        chosen = np.where(acting[:, column] | np.isnan(wish), size, chosen)
        last_up = np.where(chosen > size, minute, last_up)
        size = chosen
        sizes[:, column] = size
    return sizes


def by_minute(span: Span, values: Float) -> Float:
    """(P, M) the newest of the passes' values (P, K) in each minute; NaN where it is older than `STALE_MIN`."""
    minutes = np.arange(span.minutes)
    if not len(span.at_min):
        return np.full(span.load.shape, np.nan)
    known = np.isfinite(values)
    newest = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), -1), axis=1)
    passed = np.searchsorted(span.at_min, minutes, side="right") - 1
    column = np.where(passed >= 0, newest[:, np.maximum(passed, 0)], -1)
    found = np.take_along_axis(values, np.maximum(column, 0), axis=1)
    age = minutes - span.at_min[np.maximum(column, 0)]
    return np.where((column >= 0) & (age <= STALE_MIN), found, np.nan)


def ready_of(desired: Float, boot_min: Int) -> Float:
    """(P, M) nodes Ready: the fewest asked for over the boot time (P,) before each minute; before the span as in it."""
    ready = desired.copy()
    for back in range(1, min(int(boot_min.max(initial=0)), desired.shape[1] - 1) + 1):
        later = ready[:, back:]
        np.copyto(later, np.fmin(later, desired[:, :-back]), where=(boot_min >= back)[:, None] & ~np.isnan(later))
    return ready


def counted(span: Span, desired: Float, ready: Float, where: Bool, full_ratio: float) -> Tally:
    """Sums by bin over the minutes of `where` (P, M) in which demand, size and Ready nodes are known.

    A violation is a minute with demand above `full_ratio` of the Ready nodes.
    """
    known = where & np.isfinite(span.load) & np.isfinite(desired) & np.isfinite(ready)
    short = known & (span.load > full_ratio * ready)
    return Tally(_binned(short), _binned(np.where(known, desired, 0.0)), _binned(known))


def stay(span: Span, column: int, last_min: int, full_ratio: float) -> tuple[Float, Float, Float]:
    """(P,) each: violation minutes, node-minutes and minutes counted if the size of a pass stays until `last_min`."""
    first = max(int(span.at_min[column]), 0)
    load = span.load[:, first:last_min]
    since = np.arange(first, last_min) - span.at_min[column]
    desired, ready = span.desired[:, column, None], span.ready[:, column, None]
    nodes = np.where(since >= span.boot_min[:, None], desired, np.minimum(ready, desired))
    known = np.isfinite(load) & np.isfinite(nodes)
    return (
        (known & (load > full_ratio * nodes)).sum(axis=1).astype(np.float64),
        np.where(known, desired, 0.0).sum(axis=1),
        known.sum(axis=1).astype(np.float64),
    )


def play_all(span: Span, baselines: Mapping[str, Baseline]) -> dict[str, Tally]:
    """Every baseline over the span, by its name."""
    return {name: baseline(span) for name, baseline in baselines.items()}


def _binned(values: Float | Bool) -> Float:
    bins = values.shape[1] // BIN_MIN
    parts = values[:, : bins * BIN_MIN].reshape(len(values), bins, BIN_MIN)
    return np.asarray(parts.sum(axis=2, dtype=np.float64))
