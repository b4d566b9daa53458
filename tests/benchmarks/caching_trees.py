"""A gradient-boosted ranking of objects beside the plan's own: what each would hit if it alone filled the caches.

Run: `python tests/benchmarks/caching_trees.py [--seed N]`. Trees (scikit-learn, Poisson loss) learn from the first half
of the windows what is asked for in the next one: by counts of four memories, time since the first and the last
request, sites; and, where a catalogue says when an object was published and of what tag it is, by its age, by what
objects of its tag were asked for so far, and by what is expected of it as a new one. The plan's own ranking is decayed
counts, and new objects in a tenth of the bytes. The second half is filled, window by window, with the densest objects.
Of a fair try: `settings` are where trees could be expected to win, and where not.
"""

import one_thread  # noqa: F401, I001

import argparse
from collections.abc import Iterator

import numpy as np
from caching_traces import independent, news, sparse
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingRegressor

from tasks.caching.decide.newborn import NEW_SHARE, NOBODY, Catalogue, decide_newborn
from tasks.caching.decide.popularity import Popularity
from tasks.caching.decide.replay import windows
from tasks.caching.decide.requests import Requests, pairs_of

HORIZON_S, ROWS, SKIPPED = 4 * 3600.0, 200_000, 20


class Features:
    """What is known of every object at the beginning of a window; `there` (O,) which of them may be filled."""

    def __init__(self, requests: Requests, catalogue: Catalogue | None) -> None:
        self._log, self._counts, self._catalogue = requests, Popularity(requests, pairs_of(requests)), catalogue
        objects = len(requests.size)
        self._first, self._last = np.full(objects, np.inf), np.full(objects, -np.inf)
        self._day, self._at, self._total = (
            np.zeros(objects),
            np.zeros((objects, requests.sites), bool),
            np.zeros(objects),
        )
        self.newborn = NOBODY

    def after(self, rows: slice, now_s: float) -> tuple[np.ndarray, np.ndarray]:
        """(O, F) features once the last window is taken in, and `there`."""
        log, item = self._log, self._log.object[rows]
        self._counts.add(rows, now_s)
        np.minimum.at(self._first, item, log.ts_s[rows])
        np.maximum.at(self._last, item, log.ts_s[rows])
        self._at[item, log.site[rows]] = True
        lately = np.bincount(item, minlength=len(log.size)).astype(float)
        self._total += lately
        self._day = self._day * 0.5 ** (HORIZON_S / 86_400) + lately
        there = np.isfinite(self._first)
        ages = [np.log1p(np.where(there, now_s - each, 0.0) / 3600) for each in (self._first, self._last)]
        columns = [*np.log1p(self._counts.pooled), np.log1p(self._day), lately, *ages, self._at.sum(axis=1)]
        if self._catalogue:
            there = there | (self._catalogue.published_s <= now_s)
            columns += self._of_catalogue(rows, now_s)
        return np.column_stack(columns), there

    def _of_catalogue(self, rows: slice, now_s: float) -> list[np.ndarray]:
        known, catalogue = self._log.rows(np.arange(rows.stop)), self._catalogue
        out = catalogue.published_s <= now_s
        self.newborn = decide_newborn(known, catalogue, HORIZON_S, now_s)
        expected = np.zeros(len(out))
        expected[self.newborn.items] = self.newborn.expected
        by_tag = np.zeros((2, catalogue.tags))
        for number, each in enumerate((self._total, out.astype(float))):
            by_tag[number] = np.bincount(catalogue.tag, each[catalogue.object], catalogue.tags)
        kin = np.zeros(len(out))
        kin[catalogue.object] = (by_tag[0] / np.maximum(by_tag[1], 1))[catalogue.tag]
        return [np.log1p(np.where(out, now_s - catalogue.published_s, 0.0) / 3600), kin, expected]

    def own(self, slots: int) -> np.ndarray:
        """The objects that the plan's own ranking fills, all sizes equal."""
        share = self._counts.pool_share()
        new, total = self.newborn, max(float(self._counts.requests_within(HORIZON_S).sum()), 1e-300)
        best = np.argsort(-new.expected, kind="stable")[: int(NEW_SHARE * slots)]
        share[new.items[best]] = new.expected[best] / total
        return np.argsort(-share, kind="stable")[:slots]


def hit_ratios(requests: Requests, budget: float, catalogue: Catalogue | None = None) -> dict[str, float]:
    """By ranking, of the second half of the windows; `budget` is the share of all objects that fits."""
    features, cuts = Features(requests, catalogue), list(windows(requests, HORIZON_S))
    slots = int(budget * len(np.unique(requests.object)))
    table, target, done, model = [], [], slice(0, 0), None
    hits, asked = {"own": 0.0, "trees": 0.0}, 0.0
    for number, (begin_s, rows) in enumerate(cuts):
        known, there = features.after(done, begin_s)
        came = np.bincount(requests.object[rows], minlength=len(requests.size)).astype(float)
        if min(SKIPPED, len(cuts) // 4) < number < len(cuts) // 2:
            table.append(known[there].astype(np.float32))
            target.append(came[there])
        elif number >= len(cuts) // 2:
            model = model or _fitted(np.concatenate(table), np.concatenate(target))
            by_trees = np.zeros(len(there))
            by_trees[there] = model.predict(known[there])
            for name, items in (("own", features.own(slots)), ("trees", np.argsort(-by_trees, kind="stable")[:slots])):
                hits[name] += came[items].sum()
            asked += came.sum()
        done = rows
    return {name: many / asked for name, many in hits.items()}


def _fitted(table: np.ndarray, target: np.ndarray) -> HistGradientBoostingRegressor:
    some = np.random.default_rng(0).choice(len(table), min(ROWS, len(table)), replace=False)
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=200, learning_rate=0.05, max_leaf_nodes=15,
                                          min_samples_leaf=200, early_stopping=True, random_state=0)  # fmt: skip
    return model.fit(table[some], target[some])


def settings(seed: int) -> Iterator[tuple[str, Requests, float, Catalogue | None]]:
    """Name, log, budget and catalogue of each."""
    yield "sparse", sparse(seed), 0.05, None
    yield "dense", independent(seed, requests=300_000, sites=2, objects=20_000, days=14), 0.01, None
    yield "news", *_with_budget(news(seed), False)
    yield "news, with its catalogue", *_with_budget(news(seed), True)
    yield "sparse news, with its catalogue", *_with_budget(news(seed, requests=10_000, objects=1_500), True)


def _with_budget(made: tuple[Requests, Catalogue], known: bool) -> tuple[Requests, float, Catalogue | None]:
    return made[0], 0.05, made[1] if known else None


def main() -> None:
    """Measure three seeds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1000)
    seed = parser.parse_args().seed
    table = Table(
        "trace", "the plan's own", "trees", title=f"hit ratio of what a ranking fills, seeds {seed}-{seed + 2}"
    )
    told: dict[str, list[dict[str, float]]] = {}
    for each in range(seed, seed + 3):
        for name, requests, budget, catalogue in settings(each):
            told.setdefault(name, []).append(hit_ratios(requests, budget, catalogue))
    for name, runs in told.items():
        table.add_row(name, *(" ".join(f"{run[way]:.3f}" for run in runs) for way in ("own", "trees")))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
