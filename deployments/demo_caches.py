"""The demo's edge caches: the same users' requests over HTTP, before and after the flow has warmed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocks.files import write_atomically
from blocks.http import session
from blocks.settings import home
from deployments.evidence import Outcome
from deployments.simulation import Simulation
from tasks.sections import section

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

USUAL_S = 0.5  # of the simulated origin on a very busy machine: above twice that warming stops

Run = Callable[[Callable[[], "State[dict[str, Any]]"]], dict[str, Any]]


def warm_caches(simulation: Simulation, outcome: Outcome, run: Run) -> None:
    """Play the next four hours on the caches as they are, put them back, warm them with the flow, play the same again.

    Parameters
    ----------
    run: carries a flow out, and gives its document.
    """
    from flows.cache_prepopulation import CacheRequest, cache_prepopulation

    files, sites = _files(simulation)
    asked = simulation.edge("/to-come")
    before = _play(simulation.url, asked)
    origin_before = simulation.edge()["origin"]["requests"]
    simulation.edge("/reset", "POST")
    request = CacheRequest.model_validate(
        {
            "mode": "act",
            **{name: str(file) for name, file in files.items()},
            "regional_budget": f"{min(row['bytes'] for row in simulation.edge()['regions'])}B",
            "origin_requests_per_s": 200,
            "origin_latency_s": USUAL_S,
        }
    )
    told = run(lambda: cache_prepopulation(request, return_state=True))
    origin = simulation.edge()["origin"]
    after = _play(simulation.url, asked)
    outcome.caches = {
        "sites": [{"site": name, "requests": len(asked[name]), "hits_before": before[name], "hits_after": after[name]}
                  for name in sites],
        "origin_requests_before": origin_before,
        "origin_requests_after": simulation.edge()["origin"]["requests"] - origin["requests"],
        "origin_requests_of_warming": origin["requests"], "origin_most_in_flight": origin["most_in_flight"],
        "decisions": told.get("decisions", []),
    }  # fmt: skip
    ends = [row["result"] for row in told.get("decisions", []) if row["result"]]
    outcome.problems += [f"cache {end['subject']}: {end['detail']}" for end in ends if end["state"] != "done"]
    if not sum(after.values()) > sum(before.values()):
        outcome.problems.append("warmed edge caches hit no more than cold ones; look at the report")


def _files(simulation: Simulation) -> tuple[dict[str, Path], list[str]]:
    """The log, the sites and the caches as the flow's request wants them, and the sites' names."""
    folder, edge = home() / "edge", simulation.edge()
    rows, regions = edge["sites"], edge["regions"]
    texts = {
        "log": simulation.edge_log(),
        "sites": "site,region,budget,pins\n"
        + "".join(f"{row['name']},{row['region']},{row['bytes']}B,yes\n" for row in rows),
        "caches": "site,kind,url\n" + "".join(f"{row['name']},nginx,{simulation.url}/edge/{row['name']}\n"
                                              for row in [*regions, *rows]),
    }  # fmt: skip
    for name, text in texts.items():
        write_atomically(folder / f"{name}.csv", text)
    return {name: folder / f"{name}.csv" for name in texts}, [str(row["name"]) for row in rows]


def _play(url: str, asked: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Hits of each site's users, who ask one after the other; the sites side by side."""

    def hits(site: str) -> int:
        with session(timeout_s=30.0) as http:
            answers = [http.get(f"{url}/edge/{site}{item}") for item in asked[site]]
        return sum(answer.headers["X-Cache-Status"] == "HIT" for answer in answers)

    with ThreadPoolExecutor(len(asked)) as pool:
        return dict(zip(asked, pool.map(hits, asked), strict=True))


def caches_section(outcome: Outcome) -> dict[str, Any]:
    """Before and after, by site."""
    told = outcome.caches
    rows = [
        [row["site"], row["requests"], *(f"{row[when] / max(row['requests'], 1):.1%}" for when in
                                         ("hits_before", "hits_after"))]
        for row in told["sites"]
    ]  # fmt: skip
    return section("Edge caches before and after warming (simulated)", [summary(told)],
                   ["site", "requests", "hit ratio before", "after"], rows, simulated=True)  # fmt: skip


def summary(told: Mapping[str, Any]) -> str:
    """The whole in one line."""
    many, before, after = (
        sum(row[name] for row in told["sites"]) for name in ("requests", "hits_before", "hits_after")
    )
    return (
        f"the next four hours' {many} requests at {len(told['sites'])} simulated edge sites: {before / many:.1%} hits "
        f"before warming, {after / many:.1%} after; the origin got {told['origin_requests_before']} requests before, "
        f"{told['origin_requests_after']} after and {told['origin_requests_of_warming']} of the warming, "
        f"{told['origin_most_in_flight']} at once at most"
    )
