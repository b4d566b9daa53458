"""`continuum place ...`: workloads onto sites, sites to open, pods onto GPUs, requests onto replicas, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals, write_atomically

SHOWN = 20

places = typer.Typer(no_args_is_help=True, help="Place workloads, sites, pods and requests; nothing is changed.")

ProblemFile = Annotated[
    Path, typer.Argument(metavar="PROBLEM", help="JSON or YAML; `continuum place schema` tells its fields")
]
Html = Annotated[Path | None, typer.Option("--out", help="write the report with its map as an HTML file")]


def register(app: typer.Typer) -> None:
    """Add `continuum place`."""
    app.add_typer(places, name="place")


@places.command("workloads")
def place_workloads(
    problem_file: ProblemFile,
    time_limit_s: Annotated[float, typer.Option("--time-limit", min=0.1, max=3600, help="seconds of each exact "
                                                "search")] = 5.0,
    seed: Annotated[int, typer.Option(help="of the shakes that improve a large placement")] = 0,
    out_file: Html = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Choose the best site for every workload, with a proven bound: how far from the best it can be at most."""
    with refusals(), err.status(f"placing {problem_file}"):
        from tasks.placement.decide.placement import PlacementPolicy, decide_placement
        from tasks.placement.files import read_problem
        from tasks.placement.offline import timed
        from tasks.placement.report import placement_sections

        problem = read_problem(problem_file)
        if not problem.workloads:
            raise InvalidInput("it has no workloads", where=str(problem_file), fix="add one at least")
        policy = PlacementPolicy(time_limit_s=time_limit_s, seed=seed)
        decision, seconds = timed(lambda: decide_placement(problem, policy))
        sections = [] if as_json and not out_file else placement_sections(problem, decision, seconds)
    if out_file:
        _write(out_file, sections, f"Problem {problem_file}")
    if as_json:
        print_json(decision.placement.to_record() | {"seconds": seconds})
        return
    for each in sections:
        _show(each)


@places.command("replicas")
def place_replicas(
    problem_file: ProblemFile,
    budget: Annotated[float, typer.Option(min=0, help="USD per hour for all replicas together")],
    most: Annotated[int, typer.Option(min=1, max=3, help="sites of one workload at most")] = 3,
    time_limit_s: Annotated[float, typer.Option("--time-limit", min=0.1, max=3600, help="seconds of each exact "
                                                "search")] = 5.0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Choose how many replicas each workload has and where, so that its users wait least, within one budget."""
    with refusals(), err.status(f"placing replicas of {problem_file}"):
        from tasks.placement.decide.replica_problem import replicated_of
        from tasks.placement.decide.replicated import decide_replicas
        from tasks.placement.files import read_problem
        from tasks.placement.offline import replicas_record, timed

        problem = replicated_of(read_problem(problem_file), budget, most)
        plan, seconds = timed(lambda: decide_replicas(problem, time_limit_s=time_limit_s))
        record = replicas_record(problem, plan) | {"seconds": seconds}
    if as_json:
        print_json(record)
        return
    table = Table("workload", "sites")
    for each in record["functions"][:SHOWN]:
        table.add_row(each["function"], _listed(tuple(each["sites"])) or "none")
    out.print(table)
    if (more := len(record["functions"]) - SHOWN) > 0:
        out.print(f"{more} more rows; --json lists every one.", highlight=False)
    proven = "nothing is proven" if record["gap"] is None else f"at most {record['gap']:.2%} above the best"
    lacking = _listed(tuple(record["unplaced"])) or "none"
    out.print(f"Requests/s x ms {record['objective']:,.6g}, {proven}; {record['usd_per_hour']:,.4g} of {budget:,.4g} "
              f"USD per hour; {len(record['unplaced'])} without a site: {lacking}. "
              f"{seconds:.2f} s.", highlight=False, markup=False, soft_wrap=True)  # fmt: skip


@places.command("sites")
def place_sites(
    problem_file: ProblemFile,
    file_format: Annotated[str | None, typer.Option("--format", help="orlib-pmed or orlib-cap: a file of OR-Library "
                                                    "instead of a problem of our own")] = None,
    time_limit_s: Annotated[float, typer.Option("--time-limit", min=0.1, max=3600, help="seconds of the exact "
                                                "search")] = 20.0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Choose which sites to open, at least cost of opening and serving, with a proven bound."""
    with refusals(), err.status(f"choosing sites of {problem_file}"):
        from tasks.placement.decide.facility import decide_sites, facilities_of
        from tasks.placement.files import read_orlib, read_problem
        from tasks.placement.offline import timed

        facilities = read_orlib(problem_file, file_format) if file_format else facilities_of(read_problem(problem_file))
        opened, seconds = timed(lambda: decide_sites(facilities, time_limit_s))
    if as_json:
        print_json(opened.to_record() | {"seconds": seconds})
        return
    out.print(f"{len(opened.open)} of {len(facilities.sites)} sites open: {_listed(opened.open)}", highlight=False,
              markup=False, soft_wrap=True)  # fmt: skip
    out.print(f"Objective {opened.objective:,.6g}; no choice can be below {opened.bound:,.6g}: at most "
              f"{opened.gap:.2%} above the best. {seconds:.2f} s.", highlight=False)  # fmt: skip


@places.command("gpus")
def place_gpus(
    nodes: Annotated[Path, typer.Option(metavar="FILE", help="CSV, plain or .gz: sn, cpu_milli, memory_mib, gpu, "
                                        "model")],
    pods: Annotated[Path, typer.Option(metavar="FILE", help="CSV, plain or .gz: name, cpu_milli, memory_mib, num_gpu, "
                                       "gpu_milli, gpu_spec")],
    policy: Annotated[str, typer.Option(help="fgd, bestfit, leastallocated, random, dotprod, gpupacking, "
                                        "gpuclustering")] = "fgd",
    load: Annotated[float, typer.Option(min=0.01, max=10, help="GPU requests that arrive / GPUs of the "
                                        "cluster")] = 1.3,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="replays, each in another random order")] = 10,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Replay a list of pods onto a cluster's GPUs by a packing policy: which share of the GPUs it can give away."""
    with refusals():
        from tasks.placement.decide.gpus import POLICIES
        from tasks.placement.gpu_files import read_nodes, read_pods
        from tasks.placement.offline import packed_gpus

        if policy not in POLICIES:
            raise InvalidInput(f"no policy is named {policy!r}", where="--policy", fix=f"use {', '.join(POLICIES)}")
        (cluster, left_out), (queue, more) = read_nodes(nodes), read_pods(pods)
        for line in [*left_out, *more][:SHOWN]:
            err.print(line, highlight=False, markup=False, soft_wrap=True)
        if (hidden := len(left_out) + len(more) - SHOWN) > 0:
            err.print(f"and {hidden} more rows left out", highlight=False)
        with err.status("replaying") as status:
            told = packed_gpus(cluster, queue, policy, load, seeds,
                               lambda done: status.update(f"replaying: {done} of {seeds}"))  # fmt: skip
    if as_json:
        print_json(told | {"rows_left_out": len(left_out) + len(more)})
        return
    out.print(f"{policy}: {told['gpu_allocated_ratio']:.2%} of the GPUs given away (standard deviation "
              f"{told['gpu_allocated_ratio_std']:.2%} over {seeds} orders), {told['decisions_per_s']:,.0f} decisions "
              "per second.", highlight=False)  # fmt: skip


@places.command("traffic")
def place_traffic(
    problem_file: ProblemFile,
    strategy: Annotated[str, typer.Option(help="performance, geographic, cost or carbon")] = "performance",
    as_json: Json = False,
) -> None:
    """Spread the requests of each user zone over the replicas of each function: whole weights that sum to 100."""
    with refusals(), err.status(f"routing {problem_file}"):
        from tasks.placement.decide.traffic import decide_traffic, to_record
        from tasks.placement.files import read_problem
        from tasks.placement.offline import timed, traffic_of
        from tasks.placement.warm_traffic import best_optimum

        traffic = traffic_of(read_problem(problem_file))
        routing, seconds = timed(lambda: decide_traffic(traffic, strategy, optimum=best_optimum()))
        record = to_record(traffic, routing) | {"seconds": seconds}
    if as_json:
        print_json(record)
        return
    table = Table("function", "zone", "weights")
    rows = [(function, zone, row) for function, by_zone in record["weights"].items() for zone, row in by_zone.items()]
    for function, zone, row in rows[:SHOWN]:
        table.add_row(function, zone, ", ".join(f"{site} {weight}" for site, weight in row.items()))
    out.print(table)
    if len(rows) > SHOWN:
        out.print(f"{len(rows) - SHOWN} more rows; --json lists every one.", highlight=False)
    if record["under_load"]:
        out.print(_load_table(record["under_load"]))
    mean = record["mean_latency_ms"]
    out.print(f"Mean latency {'unknown' if mean is None else f'{mean:.2f} ms'}; {record['unserved']:,.4g} requests per "
              f"second find no room. {seconds:.2f} s.", highlight=False)  # fmt: skip


@places.command("schema")
def place_schema() -> None:
    """Print the JSON Schema of a problem."""
    from tasks.placement.problem import Problem

    print_json(Problem.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"})


@places.command("generate")
def place_generate(
    workloads: Annotated[int, typer.Option(min=1, max=1_000_000)] = 1000,
    sites: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    tight: Annotated[bool, typer.Option("--tight", help="no cloud to fall back on, capacity not where demand is; a "
                                        "plan that places all exists")] = False,
    out_file: Annotated[Path, typer.Option("--out", help="file to write")] = Path("problem.json"),
    as_json: Annotated[bool, typer.Option("--json", help="write the problem to stdout instead")] = False,
) -> None:  # fmt: skip
    """Write a random problem for `place workloads`; the same seed gives the same problem."""
    with refusals():
        from tasks.placement.generate import generate

        problem = generate(workloads, sites, seed, tight)
        if as_json:
            print_json(problem)
            return
        write_atomically(out_file, json.dumps(problem, indent=1) + "\n")
    err.print(f"wrote {out_file}", highlight=False, soft_wrap=True)


def _load_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("function", "site", "requests/s", "busy", "mean ms", "95 % within ms", title="Responses under load")
    for each in rows[:SHOWN]:
        times = (each["mean_ms"], each["p95_ms"])
        told = ["too busy to say" if each["mean_ms"] is None else f"{value:.3g}" for value in times]
        table.add_row(each["function"], each["site"], f"{each['rps']:.4g}", f"{each['utilisation_ratio']:.0%}", *told)
    return table


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _write(file: Path, sections: list[dict[str, Any]], subtitle: str) -> None:
    from deployments.report import render

    html = render(sections, title="Placement", subtitle=subtitle, footer="Nothing was changed.", simulated=False)
    write_atomically(file, html)
    err.print(f"wrote {file}", highlight=False, soft_wrap=True)


def _show(section: dict[str, Any]) -> None:
    table = Table(title=section["title"], title_justify="left")
    for column in section["table"]["columns"]:
        table.add_column(column, overflow="fold")
    for row in section["table"]["rows"][:SHOWN]:
        table.add_row(*map(str, row))
    out.print(table)
    if (more := len(section["table"]["rows"]) - SHOWN) > 0:
        out.print(f"{more} more rows; --json lists every one.", highlight=False)
    for words in section["paragraphs"]:
        out.print(words, highlight=False, markup=False)
