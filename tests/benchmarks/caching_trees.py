"""Plans by counts alone, and with gradient-boosted trees beside them: replays with the gate, won or lost.

Run: `python tests/benchmarks/caching_trees.py [--seed N]`. `settings` are where trees could be expected to win, and
where not; with a catalogue both know when objects were published and of what tag they are. CPU seconds of one core.
"""

import one_thread  # noqa: F401, I001

import argparse
import time
from collections.abc import Iterator

import numpy as np
from caching_traces import independent, news, sparse
from rich.console import Console
from rich.table import Table

from tasks.caching.decide.newborn import Catalogue
from tasks.caching.decide.replay import replay
from tasks.caching.decide.requests import Requests
from tasks.caching.decide.simulators import REACTIVE
from tasks.caching.decide.trees import Trees

HORIZON_S = 4 * 3600.0
SEEDS = 3


def settings(seed: int) -> Iterator[tuple[str, Requests, float, Catalogue | None]]:
    """Name, log, budget and catalogue of each."""
    yield "sparse", sparse(seed), 0.05, None
    yield "dense", independent(seed, requests=100_000, sites=2, objects=8_000, days=7), 0.01, None
    yield "news", news(seed)[0], 0.05, None
    made, catalogue = news(seed, requests=20_000, sites=4)
    yield "news of fewer requests", made, 0.05, None
    yield "the same with its catalogue", made, 0.05, catalogue


def told(requests: Requests, budget: float, catalogue: Catalogue | None) -> dict[str, tuple[float, float, float]]:
    """Hit ratio, objects fetched ahead a request and CPU seconds, by predictor; hit ratio of caches left alone."""
    size = [int(budget * requests.size[np.unique(requests.object)].sum())] * requests.sites
    found = {}
    for name, trees in (("counts", None), ("trees", Trees(requests, HORIZON_S, catalogue))):
        begin = time.process_time()
        done = replay(requests, size, HORIZON_S, policies=dict(REACTIVE), can_pin=np.ones(requests.sites, np.bool_),
                      catalogue=catalogue, trees=trees)  # fmt: skip
        cpu_s = time.process_time() - begin
        found |= {policy: (done.scores[policy].hits / done.scored, 0.0, 0.0) for policy in REACTIVE}
        planned = done.scores["planned"]
        found[name] = (planned.hits / done.scored, planned.fills / done.scored, cpu_s)
    return found


def main() -> None:
    """Measure three seeds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1000)
    seed = parser.parse_args().seed
    runs: dict[str, list[dict[str, tuple[float, float, float]]]] = {}
    for each in range(seed, seed + SEEDS):
        for name, *scene in settings(each):
            runs.setdefault(name, []).append(told(*scene))
    table = Table("trace", *REACTIVE, "counts", "fetched ahead", "CPU s", "trees", "fetched ahead", "CPU s",
                  title=f"hit ratios of seeds {seed}-{seed + SEEDS - 1}")  # fmt: skip
    for name, found in runs.items():
        cells = [" ".join(f"{run[policy][0]:.3f}" for run in found) for policy in REACTIVE]
        for way in ("counts", "trees"):
            cells.append(" ".join(f"{run[way][0]:.3f}" for run in found))
            cells += [f"{np.mean([run[way][number] for run in found]):.3g}" for number in (1, 2)]
        table.add_row(name, *cells)
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
