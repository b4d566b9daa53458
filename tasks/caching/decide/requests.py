"""A log as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Requests:
    """Requests in time order.

    Attributes
    ----------
    ts_s: (N,) seconds since 1970. site, object: (N,) numbers of names. size: (O,) bytes of each object, above 0.
    sites: number of sites; those without a request count.
    worth: (O,) what one hit on each object is worth, in any unit; None: each the same, 1.
    lasts: (O,) horizons that a copy of each may be used for; None: for good.
    """

    ts_s: Floats
    site: Ints
    object: Ints
    size: Floats
    sites: int
    worth: Floats | None = None
    lasts: Floats | None = None

    def __len__(self) -> int:
        return len(self.ts_s)

    def rows(self, rows: Ints) -> Requests:
        """Some of them, of all sites and objects still."""
        return replace(self, ts_s=self.ts_s[rows], site=self.site[rows], object=self.object[rows])

    def gain(self, items: Ints | slice, hits: Floats) -> Floats:
        """(I,) what it is worth to hold some objects that so many requests are expected for within a horizon.

        A copy that is stale before serves only its part of them; and where each has a price, what a copy saves is less
        by what it costs to fetch it anew in time.
        """
        if self.lasts is not None:
            lasts = self.lasts[items]
            hits = hits * np.minimum(lasts, 1.0)
            if self.worth is not None:
                hits = np.maximum(hits - np.minimum(1 / lasts, 1.0), 0.0)
        return hits if self.worth is None else hits * self.worth[items]


@dataclass(frozen=True)
class Pairs:
    """Every (site, object) that occurs, by site; pair `p` of site k is in `first[k]:first[k + 1]`.

    Attributes
    ----------
    object: (P,) of each pair. first: (sites + 1,). of_row: (N,) the pair of each request.
    """

    object: Ints
    first: Ints
    of_row: Ints


def pairs_of(requests: Requests) -> Pairs:
    """The pairs of a log, sorted by site and object."""
    objects = max(len(requests.size), 1)
    found, of_row = np.unique(requests.site * objects + requests.object, return_inverse=True)
    first = np.searchsorted(found, np.arange(requests.sites + 1) * objects)
    return Pairs(found % objects, first, of_row)


class Apart:
    """Which of some objects are not among others, without sorting: marks in an array of all objects."""

    def __init__(self, objects: int) -> None:
        self._mark: Bools = np.zeros(objects, np.bool_)

    def inside(self, items: Ints, others: Ints) -> Bools:
        """(I,) whether each item is one of the others."""
        self._mark[others] = True
        found = self._mark[items]
        self._mark[others] = False
        return found
