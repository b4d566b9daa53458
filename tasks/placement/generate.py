"""Seeded problems for trying and measuring: a slack fleet with a cloud behind it, or a tight one without."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEAREST = 16
LOAD_RATIO = 0.8  # of the edge's capacity that is asked for in all, slack or tight
IN_TOWNS, LOCAL_NOISE = 0.5, 0.25
CLOUD_USD = 1.5  # what the cloud costs beyond the dearest of the nearest sites, as a factor
BASE_COST = 2.0  # price and last mile, the same everywhere; beside 100 for the length of the square
PLANTED_ROOM = 1.02

Floats = NDArray[np.float64]


def generate(workloads: int, sites: int, seed: int, tight: bool = False) -> dict[str, Any]:
    """A problem as plain data: `sites` places in a unit square, `workloads` that may stand at their 16 nearest.

    Half of the workloads live in towns. Two resources. A cost is a base and the distance (x 100, noise of 10 %), times
    a lognormal demand. Slack: the capacity of the edge follows the demand around it, give or take, and is 1 / 0.8 of it
    in all; one of the sites is a cloud without limit that costs 1.5 times the dearest candidate. Tight: no cloud, and
    the same capacity in all is dealt out at random, without regard to the demand; a plan that places every workload
    exists (it is made first, and where it needs more than a site was dealt, the site has that and 2 % more).
    """
    rng = np.random.default_rng([seed, workloads, sites, int(tight)])
    edge = sites if tight or sites == 1 else sites - 1
    places, homes = rng.random((edge, 2)), _homes(workloads, max(2, sites // 15), rng)
    requests = np.stack([rng.uniform(0.5, 2.0, workloads), rng.uniform(1.0, 4.0, workloads)], axis=1)
    near, far = _nearest(homes, places, min(NEAREST, edge))
    noise = rng.uniform(0.9, 1.1, far.shape)
    cost = (BASE_COST + 100 * far * noise) * rng.lognormal(0.0, 0.5, workloads)[:, None]
    total = requests.sum(axis=0) / LOAD_RATIO
    if tight:
        share = rng.lognormal(0.0, 0.5, (edge, 2))
        capacity = _planted(requests, near, total * share / share.sum(axis=0), rng)
    else:
        local = np.zeros((edge, 2))
        for column in range(min(4, near.shape[1])):
            np.add.at(local, near[:, column], requests)
        local *= rng.lognormal(0.0, LOCAL_NOISE, local.shape)
        capacity = total * local / np.maximum(local.sum(axis=0), 1e-9)
    return _written(requests, near, cost, capacity, cloud=not tight and sites > 1)


def _homes(count: int, towns: int, rng: np.random.Generator) -> Floats:
    """(W, 2) where the workloads' users are: half of them in towns, the others anywhere."""
    centres = rng.random((towns, 2))
    settled = centres[rng.integers(0, towns, count)] + rng.normal(0.0, 0.2 / np.sqrt(towns), (count, 2))
    return np.where(rng.random((count, 1)) < IN_TOWNS, np.clip(settled, 0, 1), rng.random((count, 2)))


def _nearest(homes: Floats, places: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """(W, K) sites by distance, and (W, K) distances."""
    near, far = [], []
    for cut in range(0, len(homes), 1000):
        away = np.linalg.norm(homes[cut : cut + 1000, None] - places[None], axis=2)
        order = np.argsort(away, axis=1, kind="stable")[:, :count]
        near.append(order)
        far.append(np.take_along_axis(away, order, axis=1))
    return np.concatenate(near), np.concatenate(far)


def _planted(requests: Floats, near: NDArray[np.int64], capacity: Floats, rng: np.random.Generator) -> Floats:
    """(J, 2) capacity in which a plan exists: largest first, each to the candidate with the most room in proportion."""
    free = capacity.copy()
    size = (requests / requests.mean(axis=0)).max(axis=1) * rng.uniform(0.9, 1.1, len(requests))
    for row in np.argsort(-size, kind="stable").tolist():
        at = near[row]
        room = ((free[at] - requests[row]) / capacity[at]).min(axis=1)
        free[at[int(room.argmax())]] -= requests[row]
    return np.maximum(capacity, (capacity - free) * PLANTED_ROOM)


def _written(requests: Floats, near: NDArray[np.int64], cost: Floats, capacity: Floats, cloud: bool) -> dict[str, Any]:
    width = len(str(max(len(capacity), len(requests))))
    names = [f"site-{row:0{width}}" for row in range(len(capacity))]
    sites: list[dict[str, Any]] = [
        {"name": name, "capacity": {"cpu": round(cpu, 6), "memory_gb": round(memory, 6)}}
        for name, (cpu, memory) in zip(names, capacity.tolist(), strict=True)
    ]
    if cloud:
        room = {
            "cpu": round(float(2 * requests[:, 0].sum()), 6),
            "memory_gb": round(float(2 * requests[:, 1].sum()), 6),
        }
        sites.append({"name": "cloud", "capacity": room})
    rows = []
    for row, (cpu, memory) in enumerate(requests.tolist()):
        costs = {names[site]: round(each, 4) for site, each in zip(near[row].tolist(), cost[row].tolist(), strict=True)}
        if cloud:
            costs["cloud"] = round(float(cost[row].max()) * CLOUD_USD, 4)
        rows.append({"name": f"w-{row:0{width}}", "requests": {"cpu": round(cpu, 6), "memory_gb": round(memory, 6)},
                     "cost": costs})  # fmt: skip
    return {"sites": sites, "workloads": rows}
