"""Migration policies on made-up fleets of fresh seeds, beside the offline optimum; and the speed of a decision pass.

Run: `make bench-migration`. What is made up and how: `tasks/migration/decide/world.py`. The default policy's figures
were picked on seeds 1 to 4; those printed are of others.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, replace

import numpy as np

from tasks.migration.decide.joint import Room
from tasks.migration.decide.moves import Chosen, Costs, Floats, decide_moves, smoothed
from tasks.migration.decide.policies import POLICIES
from tasks.migration.decide.replay import course_of, first_places, play, total_of
from tasks.migration.decide.world import made_up

SEEDS = range(301, 309)
MUST = {"cost_ratio": 1.08, "moves_per_workload_day": 2.4, "backflip_ratio": 0.03, "peak_pass_ratio": 0.05}
WORKLOADS, SITES = 10_000, 1_000


def policies() -> dict[str, dict[str, list[float]]]:
    """Each score of each policy: mean and worst over the seeds."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in POLICIES}
    for seed in SEEDS:
        course = course_of(made_up(seed))
        places = first_places(course)
        for name, policy in POLICIES.items():
            found[name].append(asdict(play(course, policy, places)))
    return {name: {key: [float(np.mean([each[key] for each in scores])), max(each[key] for each in scores)]
                   for key in MUST} for name, scores in found.items()}  # fmt: skip


def decision_pass() -> dict[str, float]:
    """Smooth the newest measurements and decide, a large fleet, warm: seconds of CPU, and the process' peak memory."""
    rng = np.random.default_rng(1)
    shape = WORKLOADS, SITES
    before = [rng.random(shape, np.float32) + np.float32(0.5) for _ in range(2)]
    newest = [each * rng.lognormal(0, 0.15, shape).astype(np.float32) for each in before]
    errors = np.zeros(shape, np.float32)
    place = rng.integers(0, SITES, WORKLOADS)
    move_cost, idle = np.full(WORKLOADS, 1.0, np.float32), np.full(WORKLOADS, 100.0, np.float32)
    ahead = np.zeros(shape, np.float32)
    policy = POLICIES["default"]
    took = []
    for _ in range(3):
        begin = time.process_time()
        latency, money = (smoothed(old, new, policy.alpha) for old, new in zip(before, newest, strict=True))
        costs = Costs(total_of(latency, money, errors), latency, money, errors)
        decide_moves(place, costs, move_cost, idle, policy, 900.0, ahead)
        took.append(time.process_time() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"cpu_s": min(took[1:]), "must_s": 3.0, "peak_gb": peak}


def contended(workloads: int, sites: int, seed: int) -> dict[str, float]:
    """A pass in which all like the same sites, each of which has room for a tenth of what may move, about.

    What the moves bring in all, net, in slots: where each goes to its best site or stays, and as they are chosen.
    """
    rng = np.random.default_rng(seed)
    liked = rng.lognormal(0, 0.3, sites).astype(np.float32)
    total = liked * (rng.random((workloads, sites), np.float32) * np.float32(0.5) + np.float32(0.75))
    size = rng.lognormal(0, 0.5, (workloads, 2))
    free = size.sum(axis=0) * 0.05 / sites * rng.lognormal(0, 0.3, (sites, 1))
    costs, room = Costs(total, total, total, np.zeros_like(total)), Room(size, free)
    place, one = rng.integers(0, sites, workloads), np.full(workloads, 1.0, np.float32)

    def passing(seen: Room | None, cap: float) -> Chosen:
        return decide_moves(place, costs, one, one * 100, replace(POLICIES["default"], cap=cap), 900.0, room=seen)

    begin = time.process_time()
    chosen = passing(room, 0.05)
    took = time.process_time() - begin
    return {"cpu_s": took, "together": brought(chosen, place), "moves": float((chosen.target != place).sum()),
            "each_to_its_best": to_their_best(passing(None, 1.0), place, room, 0.05)}  # fmt: skip


def brought(chosen: Chosen, place: np.ndarray) -> float:
    """Slots, net, of all moves."""
    return float((chosen.benefit - chosen.overhead)[chosen.target != place].sum())


def to_their_best(wanted: Chosen, place: np.ndarray, room: Room, cap: float) -> float:
    """What those bring who go to their best site while it has room, those who gain most first."""
    net: Floats = wanted.benefit - wanted.overhead
    goes = np.flatnonzero(wanted.target != place)
    free, kept = room.free.copy(), list[int]()
    for row in goes[np.argsort(-net[goes], kind="stable")].tolist():
        if len(kept) < cap * len(place) and (room.size[row] <= free[wanted.target[row]]).all():
            kept.append(row)
            free[wanted.target[row]] -= room.size[row]
    return float(net[kept].sum())


def main() -> None:
    """Measure and print."""
    document = {"seeds": list(SEEDS), "mean_and_worst": policies(), "must": MUST,
                f"pass_of_{WORKLOADS}_workloads_and_{SITES}_sites": decision_pass(),
                "where_all_like_the_same_sites": {f"{w} x {s}, seed {seed}": contended(w, s, seed)
                    for w, s in ((400, 40), (WORKLOADS, SITES)) for seed in (1, 2, 3)}}  # fmt: skip
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
