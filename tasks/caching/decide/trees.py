"""What gradient-boosted trees expect to be asked for in the next window, learned from the windows before it.

One more voice of the pool beside its counts (`popularity`), believed as far as the requests bear it out. Poisson loss;
known of an object are its counts of both half-lives, of a day and of the last window, the time since its first and its
last request, how many sites asked for it, and, where a catalogue says when it was published and of what tags it is,
its age and what objects of its tags were asked for so far.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.caching.decide.newborn import Catalogue
from tasks.caching.decide.requests import Floats, Requests

COUNTS, TREES = "counts", "trees"  # names of predictors: counts alone, or trees beside them
WINDOWS, ROWS = 120, 200_000  # learned from at most: the last windows, and rows of them all
FIRST_WINDOWS, AGAIN = 20, 1.5  # seen before trees are learned; and anew when so many times as many are
DAY_S, HOUR_S = 86_400.0, 3600.0


class Trees:
    """Learned and asked from window to window of a log, in the order of time.

    Parameters
    ----------
    horizon_s: length of a window. catalogue: of the log's objects, if there is one.
    """

    def __init__(self, requests: Requests, horizon_s: float, catalogue: Catalogue | None = None) -> None:
        self._log, self._horizon_s, self._catalogue = requests, horizon_s, catalogue
        objects = len(requests.size)
        self._first, self._last = np.full(objects, np.inf), np.full(objects, -np.inf)
        self._day, self._total = np.zeros((2, objects))
        self._sites = np.zeros((objects, requests.sites), np.bool_)
        self._row, self._then_s = 0, -np.inf
        self._rows: deque[tuple[NDArray[np.float32], Floats]] = deque(maxlen=WINDOWS)
        self._asked: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None  # the last window's, to be answered
        self._windows, self._due, self._model = 0, FIRST_WINDOWS, None

    def expected(self, pooled: Floats, now_s: float) -> Floats | None:
        """(O,) requests of the window from `now_s` on, of what was asked for before; None: too few windows to learn.

        `pooled` (H, O) are the pool's counts now.
        """
        self._learn()
        self._take(now_s)
        items = np.flatnonzero(np.isfinite(self._first))
        known = self._features(pooled, items, now_s)
        step = max(len(items) * WINDOWS // ROWS, 1)
        some = slice(self._windows % step, None, step)
        self._asked, self._then_s = (known[some], items[some]), now_s
        if self._model is None:
            return None
        found = np.zeros(len(self._log.size))
        found[items] = self._model.predict(known)
        return found

    def _learn(self) -> None:
        """Answer what was asked at the last window's begin, and learn anew where it is time."""
        if self._asked is None:
            return
        known, items = self._asked
        rows = slice(*np.searchsorted(self._log.ts_s, [self._then_s, self._then_s + self._horizon_s]).tolist())
        came = np.bincount(self._log.object[rows], minlength=len(self._log.size)).astype(np.float64)
        self._rows.append((known, came[items]))
        self._windows += 1
        if self._windows >= self._due and any(target.any() for _, target in self._rows):
            self._due = int(self._windows * AGAIN)
            self._model = _fitted(*(np.concatenate(part) for part in zip(*self._rows, strict=True)))

    def _take(self, now_s: float) -> None:
        """All requests before `now_s` that were not yet taken in."""
        log, stop = self._log, int(np.searchsorted(self._log.ts_s, now_s))
        rows, self._row = slice(self._row, stop), stop
        item = log.object[rows]
        np.minimum.at(self._first, item, log.ts_s[rows])
        np.maximum.at(self._last, item, log.ts_s[rows])
        self._sites[item, log.site[rows]] = True
        self._total += np.bincount(item, minlength=len(self._total))
        self._day *= 0.5 ** ((now_s - self._then_s) / DAY_S)
        self._day += np.bincount(item, 0.5 ** ((now_s - log.ts_s[rows]) / DAY_S), len(self._day))

    def _features(self, pooled: Floats, items: NDArray[np.int64], now_s: float) -> NDArray[np.float32]:
        """(I, F)."""
        log = self._log
        last = slice(*np.searchsorted(log.ts_s, [now_s - self._horizon_s, now_s]).tolist())
        lately = np.bincount(log.object[last], minlength=len(log.size))
        columns = [*np.log1p(pooled[:, items]), np.log1p(self._day[items]), lately[items]]
        columns += [np.log1p((now_s - each[items]) / HOUR_S) for each in (self._first, self._last)]
        columns.append(self._sites[items].sum(axis=1))
        if self._catalogue:
            columns += [each[items] for each in self._of_catalogue(self._catalogue, now_s)]
        return np.column_stack(columns).astype(np.float32)

    def _of_catalogue(self, catalogue: Catalogue, now_s: float) -> tuple[Floats, Floats]:
        """(O,) age; and requests so far of an object of its tags, of those that are out."""
        out = catalogue.published_s <= now_s
        asked, many = (np.bincount(catalogue.tag, each[catalogue.object], catalogue.tags)
                       for each in (self._total, out.astype(np.float64)))  # fmt: skip
        kin, tags = (np.bincount(catalogue.object, each, len(out)).astype(np.float64)
                     for each in ((asked / np.maximum(many, 1))[catalogue.tag], None))  # fmt: skip
        age_s = np.where(out, now_s - catalogue.published_s, np.nan)
        return np.log1p(age_s / HOUR_S), kin / np.maximum(tags, 1)


def _fitted(known: NDArray[np.float32], target: Floats) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss="poisson", max_iter=200, learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=200, early_stopping=True,
        random_state=0,
    ).fit(known, target)  # fmt: skip
