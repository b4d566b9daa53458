"""A gradient-boosted ranking of objects beside decayed counts, on the sparse trace: what each would hit if it filled.

Run: `python tests/benchmarks/caching_trees.py [--seed N]`. Trees (scikit-learn, Poisson loss) learn from the first half
of the windows what is asked for in the next one, by age, time since the last request, sites, and counts of four
memories; the second half is filled, window by window, with the densest objects by either ranking, 5 % of all each.
"""

import one_thread  # noqa: F401, I001

import argparse

import numpy as np
from caching_traces import sparse
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingRegressor

from tasks.caching.decide.popularity import Popularity
from tasks.caching.decide.replay import windows
from tasks.caching.decide.requests import Requests, pairs_of

HORIZON_S, SHARE, ROWS, SKIPPED = 4 * 3600.0, 0.05, 200_000, 20


class Features:
    """What is known of every object at the beginning of a window; `seen` (O,) whether anybody has asked for it."""

    def __init__(self, requests: Requests) -> None:
        self._log, self._counts = requests, Popularity(requests, pairs_of(requests))
        objects = len(requests.size)
        self._first, self._last = np.full(objects, np.inf), np.full(objects, -np.inf)
        self._day, self._at = np.zeros(objects), np.zeros((objects, requests.sites), bool)

    def after(self, rows: slice, now_s: float) -> tuple[np.ndarray, np.ndarray]:
        """(O, 7) features once the last window is taken in, and `seen`."""
        log, item = self._log, self._log.object[rows]
        self._counts.add(rows, now_s)
        np.minimum.at(self._first, item, log.ts_s[rows])
        np.maximum.at(self._last, item, log.ts_s[rows])
        self._at[item, log.site[rows]] = True
        lately = np.bincount(item, minlength=len(log.size)).astype(float)
        self._day = self._day * 0.5 ** (HORIZON_S / 86_400) + lately
        seen = np.isfinite(self._first)
        ages = [np.log1p(np.where(seen, now_s - each, 0.0) / 3600) for each in (self._first, self._last)]
        columns = [*np.log1p(self._counts.pooled), np.log1p(self._day), lately, *ages, self._at.sum(axis=1)]
        return np.column_stack(columns), seen

    def shares(self) -> np.ndarray:
        """(O,) the plan's own ranking."""
        return self._counts.pool_share()


def hit_ratios(requests: Requests) -> dict[str, float]:
    """By ranking, of the second half of the windows."""
    features, cuts = Features(requests), list(windows(requests, HORIZON_S))
    slots = int(SHARE * len(np.unique(requests.object)))
    table, target, done, model = [], [], slice(0, 0), None
    hits, asked = {"counts": 0.0, "trees": 0.0}, 0.0
    for number, (begin_s, rows) in enumerate(cuts):
        known, seen = features.after(done, begin_s)
        came = np.bincount(requests.object[rows], minlength=len(requests.size)).astype(float)
        if SKIPPED < number < len(cuts) // 2:
            table.append(known[seen])
            target.append(came[seen])
        elif number >= len(cuts) // 2:
            model = model or _fitted(np.concatenate(table), np.concatenate(target))
            by_trees = np.zeros(len(seen))
            by_trees[seen] = model.predict(known[seen])
            for name, value in (("counts", features.shares()), ("trees", by_trees)):
                hits[name] += came[np.argsort(-value / requests.size, kind="stable")[:slots]].sum()
            asked += came.sum()
        done = rows
    return {name: many / asked for name, many in hits.items()}


def _fitted(table: np.ndarray, target: np.ndarray) -> HistGradientBoostingRegressor:
    some = np.random.default_rng(0).choice(len(table), min(ROWS, len(table)), replace=False)
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=200, learning_rate=0.05, max_leaf_nodes=15,
                                          min_samples_leaf=200, early_stopping=True, random_state=0)  # fmt: skip
    return model.fit(table[some], target[some])


def main() -> None:
    """Measure three seeds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1000)
    seed = parser.parse_args().seed
    table = Table("seed", "decayed counts", "trees", title="hit ratio of what a ranking would fill, sparse trace, 5 %")
    for each in range(seed, seed + 3):
        told = hit_ratios(sparse(each))
        table.add_row(str(each), f"{told['counts']:.3f}", f"{told['trees']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
