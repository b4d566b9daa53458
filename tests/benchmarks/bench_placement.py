"""Placement engines: seconds, proven gaps, and what simpler ways leave; prints tables.

Run: `python tests/benchmarks/bench_placement.py [--quick]`.

Everything is made up, with a fresh seed for each size. p-median: graphs as OR-Library's (a spanning tree and as many
random edges as make n^2 / 50, whole lengths), 100 to 900 nodes, p of 5 to n / 3. Capacitated facility location in the
shape of cap71-134 (16 to 50 sites, 50 clients, split service). Workloads onto sites by `continuum place generate`,
slack and tight. Functions of one to three replicas onto sites, zones with sparse demand (10 %), one budget. The gap is
to our own proven bound, which is below the linear relaxation: the gap to that is smaller. Peers place the same problem:
first come first served to the cheapest site with room, the best score first, LeastAllocated (the emptiest candidate,
as kube-scheduler's), and HiGHS alone (60 s).
"""

from __future__ import annotations

import one_thread  # noqa: F401  isort: skip
import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tasks.placement.decide.compiled import Compiled, compile_problem
from tasks.placement.decide.facility import Facilities, decide_sites
from tasks.placement.decide.milp import solve_exact
from tasks.placement.decide.placement import decide_placement
from tasks.placement.decide.replica_sets import Replicated
from tasks.placement.decide.replicated import decide_replicas
from tasks.placement.decide.scores import Scores
from tasks.placement.files import graph_facilities
from tasks.placement.generate import generate
from tasks.placement.problem import Problem
from tasks.placement.problem_checks import parse_problem

Floats = NDArray[np.float64]
console = Console(width=150)


def cpu(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work answers, and its CPU-seconds."""
    begin = time.process_time()
    answer = work()
    return answer, time.process_time() - begin


def graph(nodes: int, p: int, seed: int) -> Facilities:
    """A p-median problem on a connected random graph."""
    draw = np.random.default_rng(seed)
    tree = np.stack([np.arange(1, nodes), [draw.integers(0, node) for node in range(1, nodes)]], axis=1)
    more = draw.integers(0, nodes, (nodes**2 // 50, 2))
    ends = np.concatenate([tree, more[more[:, 0] != more[:, 1]]])
    return graph_facilities(nodes, ends, draw.integers(1, 100, len(ends)).astype(np.float64), p)


def medians(quick: bool) -> None:
    """40 graphs: every number of nodes with five p, as in pmed1-40."""
    sizes = (100, 200) if quick else tuple(range(100, 1000, 100))
    cases = [(n, p) for n in sizes for p in (5, 10, n // 10, n // 5, n // 3)][:40]
    gaps, seconds = [], 0.0
    for number, (n, p) in enumerate(cases):
        opened, taken = cpu(lambda n=n, p=p, number=number: decide_sites(graph(n, p, 700 + number)))  # type: ignore[misc]
        gaps.append(opened.gap)
        seconds += taken
    console.print(f"p-median, {len(cases)} graphs: proven gap mean {np.mean(gaps):.2%}, largest {max(gaps):.2%}, "
                  f"{seconds:.1f} CPU-s with the making of the graphs (must 0.6 %, 60 s)")  # fmt: skip


def capacitated() -> None:
    """Twelve problems of the shape of cap71-134."""
    gaps, slowest = [], 0.0
    for number in range(12):
        draw = np.random.default_rng(900 + number)
        sites, clients = (16, 25, 50)[number // 4], 50
        demand = draw.uniform(10, 100, clients)
        far = np.linalg.norm(draw.random((clients, 1, 2)) - draw.random((1, sites, 2)), axis=2)
        problem = Facilities(
            tuple(map(str, range(clients))), tuple(map(str, range(sites))), far * demand[:, None] * 10,
            np.full(sites, (750.0, 1250.0, 1750.0, 2500.0)[number % 4]), requests=demand[:, None],
            capacity=np.full((sites, 1), demand.sum() / (4, 6)[number % 2]), split=True,
        )  # fmt: skip
        opened, taken = cpu(lambda problem=problem: decide_sites(problem))  # type: ignore[misc]
        gaps.append(opened.gap)
        slowest = max(slowest, taken)
    console.print(f"capacitated facility location, 12 problems: largest gap {max(gaps):.4%}, slowest {slowest:.2f} "
                  "CPU-s (must: optimal, 0.1 s)")  # fmt: skip


def in_turn(problem: Compiled, order: NDArray[np.int64], emptiest: bool = False) -> tuple[int, float]:
    """Units one after the other, each to its cheapest candidate with room, or to the emptiest: left out, cost."""
    free, left, cost = problem.capacity.copy(), 0, 0.0
    for unit in order.tolist():
        here = problem.site[unit]
        fits = np.isfinite(problem.cost[unit]) & (free[here] >= problem.requests[unit] - 1e-9).all(axis=1)
        if not fits.any():
            left += 1
            continue
        worth = -(free[here] / np.maximum(problem.capacity[here], 1e-9)).mean(axis=1) if emptiest else \
            problem.cost[unit]  # fmt: skip
        pick = int(np.where(fits, worth, np.inf).argmin())
        free[here[pick]] -= problem.requests[unit]
        cost += float(problem.cost[unit, pick])
    return left, cost


def workloads(sizes: list[tuple[int, int]], peer_s: float) -> None:
    """Slack and tight fleets, beside the peers."""
    table = Table("workloads x sites", "fleet", "left out", "proven gap", "CPU-s", "first come", "best score",
                  "LeastAllocated", f"HiGHS alone, {peer_s:g} s", title="left out: cost over ours")  # fmt: skip
    seconds: dict[tuple[bool, int], float] = {}
    for tight in (False, True):
        for count, sites in sizes:
            problem = parse_problem(generate(count, sites, 41, tight))
            decision, taken = cpu(lambda problem=problem: decide_placement(problem))  # type: ignore[misc]
            seconds[tight, count] = taken
            placed = decision.placement
            assert not placed.violations
            compiled = compile_problem(problem, Scores(problem))
            by_score = np.argsort(compiled.cost.min(axis=1), kind="stable")
            others = [in_turn(compiled, np.arange(count)), in_turn(compiled, by_score),
                      in_turn(compiled, np.arange(count), emptiest=True)]  # fmt: skip
            said = [f"{left}: {cost / placed.objective - 1:+.1%}" for left, cost in others]
            exact = solve_exact(compiled, peer_s) if peer_s and count <= 1000 else None
            alone = "not run"
            if exact is not None:
                picks = exact.picks
                there = picks >= 0
                cost = float(compiled.cost[np.flatnonzero(there), picks[there]].sum())
                alone = f"{int((~there).sum())}: {cost / placed.objective - 1:+.1%}"
            elif count <= 1000 and peer_s:
                alone = "none found"
            table.add_row(f"{count:,} x {sites:,}", "tight" if tight else "slack", str(len(placed.unplaced)),
                          f"{placed.gap:.2%}", f"{taken:.2f}", *said, alone)  # fmt: skip
    console.print(table)
    counts = [count for count, _ in sizes]
    for tight in (False, True):
        growth = np.log(seconds[tight, counts[-1]] / seconds[tight, counts[0]]) / np.log(counts[-1] / counts[0])
        console.print(f"growth {'tight' if tight else 'slack'}: n^{growth:.2f} (must n^1.4)")
    _replan(*sizes[-1])


def _replan(count: int, sites: int) -> None:
    """One in a hundred workloads asks for a fifth more: what stood stays the start."""
    plain = generate(count, sites, 41)
    first = decide_placement(parse_problem(plain)).placement
    for row in plain["workloads"][::100]:
        row["requests"] = {resource: 1.2 * amount for resource, amount in row["requests"].items()}
    changed: Problem = parse_problem(plain)
    standing = {each.workload: each.site for each in first.assignments}
    decision, taken = cpu(lambda: decide_placement(changed, prices=first.prices, standing=standing))
    moved = sum(standing[each.workload] != each.site for each in decision.placement.assignments)
    console.print(f"re-plan of {count:,} x {sites:,} after 1 % changed: {taken:.2f} CPU-s, gap "
                  f"{decision.placement.gap:.2%}, {moved} moved (must 1 s)")  # fmt: skip


def functions(sizes: list[tuple[int, int, int]]) -> None:
    """Functions of one to three replicas."""
    for count, sites, zones in sizes:
        draw = np.random.default_rng([77, count])
        demand = draw.lognormal(0, 1, (count, zones)) * (draw.random((count, zones)) < 0.1)
        far = np.linalg.norm(draw.random((zones, 1, 2)) - draw.random((1, sites, 2)), axis=2)
        requests, usd = draw.uniform(0.5, 2, (count, 1)), draw.uniform(1, 3, sites)
        down, limit = draw.uniform(0.001, 0.02, sites), draw.choice([0.02, 0.001], count)
        problem = Replicated(
            tuple(map(str, range(count))), tuple(map(str, range(sites))), demand, 2 + 80 * far, requests,
            np.full((sites, 1), 2.4 * requests.sum() / sites), usd * requests,
            1.8 * float(usd.mean() * requests.sum()), np.log(down), np.log(limit),
        )  # fmt: skip
        plan, taken = cpu(lambda problem=problem: decide_replicas(problem))  # type: ignore[misc]
        console.print(f"functions x sites x zones {count:,} x {sites} x {zones}: {len(plan.unplaced)} left out, "
                      f"proven gap {plan.gap:.2%}, {taken:.1f} CPU-s, {plan.usd / problem.budget_usd:.1%} of the "
                      "budget")  # fmt: skip


def main() -> None:
    """Every row of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, no HiGHS alone")
    quick = parser.parse_args().quick
    medians(quick)
    capacitated()
    workloads([(100, 20), (1000, 100)] if quick else [(1000, 100), (10_000, 1000)], 0 if quick else 60)
    functions([(30, 20, 100)] if quick else [(30, 20, 100), (100, 50, 500), (1000, 100, 500)])


if __name__ == "__main__":
    main()
