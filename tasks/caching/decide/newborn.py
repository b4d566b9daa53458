"""Objects that nobody has asked for yet: what is expected of them, by what was asked for of their kin at that age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.caching.decide.requests import Floats, Ints, Requests

NEW_S = 24 * 3600.0  # what nobody has asked for within a day of its publication is not new any more
LEAST_STEP_S = 3600.0  # ages are told apart in steps of a horizon, of an hour at least
PRIOR_KIN = 5.0  # kin that the mean of all objects of that age is worth
NEW_SHARE = 0.1  # of a budget, at most, that goes to what has no record of its own


@dataclass(frozen=True)
class Catalogue:
    """What is published. `published_s` (O,) seconds since 1970, NaN where nobody says.

    Tags make kin: pair p says that `object[p]` bears `tag[p]`, a number below `tags`.
    fresh_s: (O,) seconds that a copy of each stays fresh; None: as long as anybody asks.
    """

    published_s: Floats
    object: Ints
    tag: Ints
    tags: int
    fresh_s: Floats | None = None


@dataclass(frozen=True)
class Newborn:
    """New objects (M,), and the requests expected of each within the horizon, of all sites together."""

    items: Ints
    expected: Floats


NOBODY = Newborn(np.zeros(0, np.int64), np.zeros(0))


def young_rows(requests: Requests, catalogue: Catalogue, horizon_s: float) -> Ints:
    """(R,) rows of a log that `decide_newborn` can learn from, in order: the first, and requests of young objects."""
    most_s = NEW_S + max(horizon_s, LEAST_STEP_S)
    young = requests.ts_s - catalogue.published_s[requests.object] < most_s
    young[:1] = True
    return np.flatnonzero(young)


def decide_newborn(requests: Requests, catalogue: Catalogue, horizon_s: float, now_s: float) -> Newborn:
    """What is expected of each object that was published within a day and not asked for since.

    Of age a (in whole steps) it is expected to be asked for as often as its kin were, in the step from that age on, if
    nobody had asked for them before either; of few kin, the mean of all objects of that age speaks too.
    """
    step_s = max(horizon_s, LEAST_STEP_S)
    steps = int(np.ceil(NEW_S / step_s))
    published = catalogue.published_s
    first, counted = _asked_by_age(requests, published, step_s, steps)
    age = np.floor((now_s - published) / step_s)
    is_new = (age >= 0) & (now_s - published < NEW_S) & (first >= steps)
    asked = np.bincount(requests.object, minlength=len(published)) > 0
    items = np.flatnonzero(is_new & ~asked)
    expected = np.zeros(len(items))
    seen_from = float(requests.ts_s[0]) if len(requests) else now_s
    kin = np.zeros((2, catalogue.tags))
    for step in np.unique(age[items]).astype(int).tolist():
        # Kin whose whole step the log has seen, and that nobody had asked for before it.
        there = (published >= seen_from) & (published + (step + 1) * step_s <= now_s) & (first >= step)
        came = np.where(there, counted[step], 0.0)
        for number, each in enumerate((there.astype(np.float64), came)):
            kin[number] = np.bincount(catalogue.tag, each[catalogue.object], catalogue.tags)
        usual = came.sum() / max(int(there.sum()), 1)
        mine = age[items] == step
        many, hits = (_over_tags(catalogue, each, len(published))[items[mine]] for each in kin)
        expected[mine] = (hits + PRIOR_KIN * usual) / (many + PRIOR_KIN)
    return Newborn(items, expected * min(horizon_s / step_s, 1.0))


def _asked_by_age(requests: Requests, published: Floats, step_s: float, steps: int) -> tuple[Floats, Floats]:
    """(O,) the step of age in which each was first asked for, `steps` where later or never; (steps, O) how often."""
    step = np.floor((requests.ts_s - published[requests.object]) / step_s)
    known = np.isfinite(step)
    which, step = requests.object[known], step[known]
    first = np.full(len(published), float(steps))
    np.minimum.at(first, which, np.minimum(step, steps))
    young = (step >= 0) & (step < steps)
    counted = np.bincount(step[young].astype(np.int64) * len(published) + which[young],
                          minlength=steps * len(published))  # fmt: skip
    return first, counted.reshape(steps, len(published)).astype(np.float64)


def _over_tags(catalogue: Catalogue, by_tag: Floats, objects: int) -> Floats:
    """(O,) the sum over each object's tags."""
    return np.bincount(catalogue.object, by_tag[catalogue.tag], objects).astype(np.float64)
