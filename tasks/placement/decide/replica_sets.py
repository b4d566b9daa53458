"""Sets of one to three sites for each function: what they serve at, and which of them are best at given prices.

The best set at given prices must be known exactly, else there is no bound. With J = 100 sites there are 166,750 sets a
function, so triples are rated by a floor first: service falls less by a third site than by the same site as a second
one (it is supermodular), s(abc) >= s(ab) - min(s(a) - s(ac), s(b) - s(bc)). Only triples whose floor is below the best
known value are computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Single = NDArray[np.float32]
Int = NDArray[np.int64]

MOST_REPLICAS = 3
ROUNDING = 1e-4  # of a value: services are kept in single precision
FULL_SITES = 20  # of a function, its best by service or nearest to its zones: all their sets are in the first pool


@dataclass(frozen=True, eq=False)
class Replicated:
    """F functions and J sites, each sorted by name, Z user zones, R resources.

    Attributes
    ----------
    demand: (F, Z) requests per second. latency_ms: (Z, J). requests: (F, R) of one replica. capacity: (J, R).
    usd: (F, J) of one replica. budget_usd: for all replicas together.
    log_down: (J,) log of the share of time that a site is down. log_limit: (F,) log of what a function may be down.
    most: replicas of one function at most, 1 to 3. barred: (F, J) sites where a function may not stand, None for none.
    """

    functions: tuple[str, ...]
    sites: tuple[str, ...]
    demand: Float
    latency_ms: Float
    requests: Float
    capacity: Float
    usd: Float
    budget_usd: float
    log_down: Float
    log_limit: Float
    most: int = MOST_REPLICAS
    barred: NDArray[np.bool_] | None = None

    def may_stand(self, f: int) -> NDArray[np.bool_]:
        """(J,) whether a replica of one function may stand at each site."""
        return np.ones(len(self.sites), np.bool_) if self.barred is None else ~self.barred[f]


@dataclass(frozen=True, eq=False)
class Pool:
    """N sets: function, (N, 3) sites (J where there are fewer), demand x latency served at, USD."""

    function: Int
    sites: Int
    service: Float
    usd: Float

    def take(self, rows: Int) -> Pool:
        """Some of the sets."""
        return Pool(self.function[rows], self.sites[rows], self.service[rows], self.usd[rows])

    @staticmethod
    def join(a: Pool, b: Pool) -> Pool:
        """Both, each set once, ordered by function and sites."""
        function, sites = np.concatenate([a.function, b.function]), np.concatenate([a.sites, b.sites])
        width = int(sites.max(initial=0)) + 1
        key = ((function * width + sites[:, 0]) * width + sites[:, 1]) * width + sites[:, 2]
        _, first = np.unique(key, return_index=True)
        return Pool(function[first], sites[first], np.concatenate([a.service, b.service])[first],
                    np.concatenate([a.usd, b.usd])[first])  # fmt: skip


class Sets:
    """Services of all single sites and pairs, once; triples where they are asked for."""

    def __init__(self, problem: Replicated) -> None:
        self.problem = problem
        count, sites = problem.usd.shape
        self.pair_a, self.pair_b = np.triu_indices(sites, 1)
        self.weighted: list[Single] = []  # (its zones, J) demand x latency of each function
        self.one = np.zeros((count, sites), np.float32)
        self.two = np.zeros((count, sites, sites), np.float32)
        for f in range(count):
            zones = np.flatnonzero(problem.demand[f] > 0)
            each = (problem.demand[f, zones, None] * problem.latency_ms[zones]).astype(np.float32)
            self.weighted.append(each)
            self.one[f] = each.sum(axis=0)
            for a in range(sites):
                self.two[f, a] = np.minimum(each, each[:, a, None]).sum(axis=0)
        down = problem.log_down
        self._down_two = down[:, None] + down[None, :]
        self._down_three = (down[self.pair_a] + down[self.pair_b])[:, None] + down[None, :]
        ordered = np.arange(sites)[None, :] > self.pair_b[:, None]
        self._down_three = np.where(ordered, self._down_three, np.inf).astype(np.float32)

    def first_pool(self) -> Pool:
        """All sets over the sites that each function is likeliest to want."""
        parts = [self._sets_over(f, self._likely(f)) for f in range(len(self.problem.functions))]
        return Pool(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _likely(self, f: int) -> Int:
        """Sites of the best pairs, some that serve alone best, the cheapest, and the most available."""
        allowed = np.flatnonzero(self.problem.may_stand(f))
        if len(allowed) <= FULL_SITES:
            return allowed
        paired = self.two[f].min(axis=1)
        ranks = (paired, self.problem.usd[f], paired, self.one[f], paired, self.problem.log_down)
        mixed = np.stack([allowed[np.argsort(rank[allowed], kind="stable")] for rank in ranks], axis=1).ravel()
        _, first = np.unique(mixed, return_index=True)
        return np.sort(mixed[np.sort(first)][:FULL_SITES])

    def _sets_over(self, f: int, sites: Int) -> tuple[Int, Int, Float, Float]:
        """Function, sites, service and USD of every legal set over some sites."""
        count, none = len(sites), len(self.problem.sites)
        parts = [np.column_stack([sites, np.full(count, none), np.full(count, none)])]
        if self.problem.most >= 2:
            a, b = np.triu_indices(count, 1)
            parts.append(np.column_stack([sites[a], sites[b], np.full(len(a), none)]))
        if self.problem.most >= 3:
            index = np.arange(count)
            a, b, c = (each.ravel() for each in np.meshgrid(index, index, index, indexing="ij"))
            keep = (a < b) & (b < c)
            parts.append(np.column_stack([sites[a[keep]], sites[b[keep]], sites[c[keep]]]))
        return self._valued(f, np.concatenate(parts))

    def _valued(self, f: int, sets: Int) -> tuple[Int, Int, Float, Float]:
        """The legal ones of some sets, with their service and USD."""
        down = np.append(self.problem.log_down, 0.0)[sets].sum(axis=1)
        allowed = np.append(self.problem.may_stand(f), True)[sets].all(axis=1)
        sets = sets[allowed & (down <= self.problem.log_limit[f] + 1e-9)]
        each = self.weighted[f]
        wide = np.concatenate([each, np.full((len(each), 1), np.inf, np.float32)], axis=1).T  # (J + 1, zones)
        service = np.minimum(np.minimum(wide[sets[:, 0]], wide[sets[:, 1]]), wide[sets[:, 2]]).sum(axis=1)
        usd = np.append(self.problem.usd[f], 0.0)[sets].sum(axis=1)
        return np.full(len(sets), f), sets, service.astype(np.float64), usd

    def best_at(self, worth: Float, within: float, known: Float) -> tuple[Float, Pool]:
        """(F,) the exact least priced value of each function, and all sets found that are within a share of it.

        `worth` (F, J) is the price of a replica at each site; `known` (F,) the value of a legal set, infinite for none.
        """
        least = np.full(len(self.problem.functions), np.inf)
        parts = []
        for f in range(len(least)):
            sets = self._promising(f, worth[f], within, float(known[f]))
            function, sets, service, usd = self._valued(f, sets)
            if not len(sets):
                continue
            value = service + np.append(worth[f], 0.0)[sets].sum(axis=1)
            least[f] = value.min()
            near = value <= least[f] + within * abs(least[f])
            parts.append((function[near], sets[near], service[near], usd[near]))
        empty = (np.zeros(0, np.int64), np.zeros((0, 3), np.int64), np.zeros(0), np.zeros(0))
        return least, Pool(*(np.concatenate(columns) for columns in zip(*(parts or [empty]), strict=True)))

    def _promising(self, f: int, worth: Float, within: float, known: float) -> Int:
        """Legal sets of which the floor of the value is within a share of the best known one."""
        limit, none, most = self.problem.log_limit[f] + 1e-9, len(self.problem.sites), self.problem.most
        price = np.where(self.problem.may_stand(f), worth, np.inf).astype(np.float32)
        a, b = self.pair_a, self.pair_b
        single = np.where(self.problem.log_down <= limit, self.one[f] + price, np.inf)
        pair = self.two[f][a, b] + price[a] + price[b]
        legal_pair = np.where(self._down_two[a, b] <= limit, pair, np.inf) if most >= 2 else np.full(len(a), np.inf)
        best = float(min(single.min(), legal_pair.min(initial=np.inf)))
        found = []
        if most >= 3:
            saved = self.one[f][:, None] - self.two[f]  # by each second site
            best = min(best, known)
            most_saved = (saved - price[None, :]).max(axis=1)  # no third site helps a pair by more
            top = best + (within + ROUNDING) * abs(best)
            pairs = np.flatnonzero(pair - np.minimum(most_saved[a], most_saved[b]) <= top)
            floor = pair[pairs, None] + price[None, :] - np.minimum(saved[a[pairs]], saved[b[pairs]])
            row, third = np.nonzero((floor <= top) & (self._down_three[pairs] <= limit))
            found.append(np.column_stack([a[pairs[row]], b[pairs[row]], third]))
        top = best + (within + ROUNDING) * abs(best)
        one, two = np.flatnonzero(single <= top), np.flatnonzero(legal_pair <= top)
        found.append(np.column_stack([one, np.full((len(one), 2), none)]))
        found.append(np.column_stack([a[two], b[two], np.full(len(two), none)]))
        return np.concatenate(found)
