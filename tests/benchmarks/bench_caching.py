"""Edge caches: plans behind the gate beside reactive policies, a flushed site, dense sites, speed; or JSON with --json.

Run: `python tests/benchmarks/bench_caching.py [--quick] [--seed N] [--json]`. CONTINUUM_DATA adds real traces;
those have no clock (Mooncake's has): they are spread evenly over 100 horizons, as one site. Sparse and dense logs are
made by `caching_traces.py`, which says where their shape comes from. Budgets are shares of a log's distinct bytes, per
site; the first fifth of the requests is not scored. CPU seconds are those of one core, of the decision from arrays.
"""

import one_thread  # noqa: F401, I001

import argparse
import csv
import gzip
import json
import lzma
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from caching_traces import Shape, independent, sparse
from rich.console import Console
from rich.table import Table

from tasks.caching.decide.placement import Caches, decide_placement
from tasks.caching.decide.replay import Replayed, replay
from tasks.caching.decide.requests import Requests
from tasks.caching.peers import policies_of

HORIZON_S = 4 * 3600.0
HORIZONS = 100  # over which a trace without a clock is spread
MOST_ROWS = 300_000  # of a real trace
DENSE = (
    {"requests": 200_000, "sites": 3, "objects": 10_000, "days": 3, "regional": 0.0},
    {"requests": 200_000, "sites": 3, "objects": 10_000, "days": 3, "regional": 1.0},
    {"requests": 300_000, "sites": 2, "objects": 50_000, "days": 7, "zipf": 0.7, "regional": 0.5},
)


def played(requests: Requests, share: float, horizon_s: float = HORIZON_S) -> Replayed:
    """A replay in which each site may hold a share of the log's distinct bytes."""
    asked = np.unique(requests.object)
    budget = [max(int(share * requests.size[asked].sum()), 1)] * requests.sites
    return replay(requests, budget, horizon_s, policies=policies_of(""), can_pin=np.ones(requests.sites, np.bool_))


def told(done: Replayed) -> dict[str, Any]:
    """Hit ratios, and what the plan adds."""
    hits = {name: score.hits / done.scored for name, score in done.scores.items()}
    flushed = done.flushed
    return {
        "hit_ratio": hits, "ratio": hits["planned"] / max(hits["s3fifo"], 1e-9),
        "points": 100 * (hits["planned"] - hits["s3fifo"]),
        "fills_per_request": done.scores["planned"].fills / done.scored, "refused": len(done.gate.refused()),
        "flushed": {"requests": flushed.requests, "cold": flushed.cold / max(flushed.requests, 1),
                    "warmed": flushed.warmed / max(flushed.requests, 1)},
    }  # fmt: skip


def sparsity(seed: int, quick: bool) -> dict[str, Any]:
    """The sparse shape with fewer and more users, and with regions that differ more, all else equal."""
    found = {}
    for regional in (0.25, 0.5):
        found[f"regions that differ by {regional}"] = told(played(sparse(seed, Shape(regional=regional)), 0.05))
    for times in (0.1, 0.3, 1.0, 3.0) if quick else (0.1, 0.3, 1.0, 3.0, 10.0):
        usual = Shape()
        shape = replace(usual, requests=int(usual.requests * times), users=int(usual.users * times))
        each = shape.requests / shape.sites / (shape.days * 6)
        found[f"{each:.3g} requests a site and horizon"] = told(played(sparse(seed, shape), 0.05))
    return found


def real_traces(data: Path) -> dict[str, tuple[Requests, float, float]]:
    """Requests, budget and horizon of each trace in CONTINUUM_DATA that fits."""
    found = {}
    for name in ("web12", "orm-busy"):
        with lzma.open(data / "cache" / f"cache2k_{name}.trace.xz") as packed:
            raw = packed.read(MOST_ROWS * 4)
        found[name] = (_clockless(np.frombuffer(raw, ">i4")), 0.01, HORIZON_S)
    for name in ("multi1", "multi2", "sprite"):
        lines = gzip.decompress(gzip.decompress((data / "cache" / f"lirs_{name}.trace.gz").read_bytes())).split()
        found[name] = (_clockless(np.array([int(line) for line in lines if line != b"*"])), 0.05, HORIZON_S)
    with gzip.open(data / "cache" / "adaptsize_time_object_size.csv.gz", "rt") as file:
        rows = np.array([row[1:] for row in list(csv.reader(file))[1:]], np.int64)
    found["adaptsize"] = (_clockless(rows[:, 0], rows[:, 1]), 0.01, HORIZON_S)
    with gzip.open(data / "llm-inference" / "mooncake_conversation.jsonl.gz", "rt") as file:
        asked = [json.loads(line) for line in file]
    ts = np.concatenate([np.full(len(each["hash_ids"]), each["timestamp"] / 1000) for each in asked])
    found["mooncake"] = (_clockless(np.concatenate([each["hash_ids"] for each in asked]), ts=ts), 0.05, 60.0)
    return found


def _clockless(keys: np.ndarray, size: np.ndarray | None = None, ts: np.ndarray | None = None) -> Requests:
    names, item = np.unique(keys, return_inverse=True)
    sizes = np.ones(len(names))
    if size is not None:
        np.maximum.at(sizes, item, size.astype(np.float64))
    when = np.arange(len(keys)) * (HORIZONS * HORIZON_S / len(keys)) if ts is None else ts
    return Requests(when.astype(np.float64), np.zeros(len(keys), np.int64), item.astype(np.int64), sizes, 1)


def speed(seed: int, equal: bool, regions: int = 0) -> dict[str, float]:
    """CPU seconds of a plan for a million objects and 50 sites of 5 % each, from two million rows; regions 10 %."""
    rng = np.random.default_rng(seed)
    rows, objects, sites = 2_000_000, 1_000_000, 50
    law = (np.arange(objects) + 1.0) ** -0.8
    item = rng.choice(objects, rows, p=law / law.sum())
    item[:objects] = rng.permutation(objects)
    size = np.ones(objects) if equal else np.ceil(rng.lognormal(13, 1.2, objects))
    requests = Requests(np.sort(rng.random(rows)) * 30 * 86_400, rng.integers(0, sites, rows), item, size, sites)
    region = np.arange(sites) % regions if regions else np.full(sites, -1)
    caches = Caches(np.full(sites, 0.05 * size.sum()), region, np.full(regions, 0.1 * size.sum()))
    begin = time.process_time()
    made = decide_placement(requests, caches, HORIZON_S)
    return {"cpu_s": time.process_time() - begin, "rows_placed": sum(len(each.items) for each in made.sites),
            "of_bound": made.worth / made.bound}  # fmt: skip


def measure(seed: int, quick: bool) -> dict[str, Any]:
    """Everything that the data at hand allow."""
    seeds = range(seed, seed + (2 if quick else 8))
    found: dict[str, Any] = {
        "seeds": list(seeds), "shape": asdict(Shape()),
        "sparse": {each: told(played(sparse(each), 0.05)) for each in seeds},
        "dense": {f"made {number + 1}, seed {each}": told(played(independent(each, **shape), 0.01))
                  for number, shape in enumerate(DENSE) for each in list(seeds)[:2]},
        "sparsity": sparsity(seed, quick),
        "speed": {"equal sizes": speed(seed, True), "lognormal sizes": speed(seed, False),
                  "equal sizes, 5 regions": speed(seed, True, 5)},
    }  # fmt: skip
    data = os.environ.get("CONTINUUM_DATA")
    if data:
        found["dense"] |= {name: told(played(requests, share, horizon_s))
                           for name, (requests, share, horizon_s) in real_traces(Path(data)).items()}  # fmt: skip
    return found


def _show(found: dict[str, Any]) -> None:
    console = Console(width=150)
    sparse_runs, dense = list(found["sparse"].values()), found["dense"]
    won = [each["ratio"] for each in sparse_runs]
    gains = [each["flushed"]["warmed"] / each["flushed"]["cold"] for each in sparse_runs]
    points = [each["points"] for each in dense.values()]
    cpu_s = max(each["cpu_s"] for each in found["speed"].values())
    table = Table("", "must", "stretch", "reached", title=f"seeds {found['seeds'][0]}-{found['seeds'][-1]}")
    table.add_row("sparse, 5 %: hit ratio against S3-FIFO", ">= 1.2x", "1.3x",
                  f"{np.mean(won):.3f}x (worst {min(won):.3f})")  # fmt: skip
    table.add_row(
        "first 200 requests of a flushed site", ">= 2.2x", "2.6x", f"{np.mean(gains):.2f}x (worst {min(gains):.2f})"
    )
    table.add_row("dense: points above the site's own S3-FIFO", ">= -0.5", "+1",
                  f"{np.mean(points):+.2f} (worst {min(points):+.2f})")  # fmt: skip
    table.add_row("plan of 1e6 objects x 50 sites, 2e6 rows", "<= 3 CPU s", "1 CPU s", f"{cpu_s:.2f} CPU s")
    console.print(table)
    runs = [(f"sparse, seed {seed}", each) for seed, each in found["sparse"].items()] + list(dense.items())
    runs += [(f"sparse shape, {name}", each) for name, each in found["sparsity"].items()]
    names = list(dict.fromkeys(name for _, each in runs for name in each["hit_ratio"]))
    table = Table("log", *names, "x S3-FIFO", "fills/req", "refused", "cold", "warmed", title="hit ratios")
    for name, each in runs:
        hits, flushed = each["hit_ratio"], each["flushed"]
        ratios = (f"{hits[policy]:.3f}" if hits[policy] else "-" for policy in names)
        table.add_row(name, *ratios, f"{each['ratio']:.3f}", f"{each['fills_per_request']:.3f}", str(each["refused"]),
                      f"{flushed['cold']:.3f}", f"{flushed['warmed']:.3f}")  # fmt: skip
    console.print(table)
    for name, each in found["speed"].items():
        console.print(f"plan, {name}: {each['cpu_s']:.2f} CPU s, {each['rows_placed']:,} rows, "
                      f"{each['of_bound']:.4%} of the bound")  # fmt: skip
    console.print(f"sparse shape: {found['shape']}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds instead of eight")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.seed, asked.quick)
    if asked.json:
        print(json.dumps(found, indent=2, default=float))
    else:
        _show(found)


if __name__ == "__main__":
    main()
