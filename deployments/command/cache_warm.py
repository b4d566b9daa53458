"""`continuum cache warm`: fetch what a plan lists, through each cache, at the origin's pace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deployments.command.cache import cache
from deployments.command.output import Json, err, out, print_json, refusals


def register(app: typer.Typer) -> None:
    """Nothing: importing this adds `warm` to `continuum cache`."""
    del app


@cache.command("warm")
def cache_warm(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN.csv", help="what `cache plan --out` wrote")],
    caches_file: Annotated[Path, typer.Option("--caches", metavar="FILE", help="CSV site, kind, url and more by kind; "
                                              "kinds: nginx, varnish, squid, cloudfront, redis, s3")],
    requests_per_s: Annotated[float, typer.Option(min=0.01, max=1e6, help="most that the origin gets, of all sites "
                                                  "together")] = 50.0,
    rate: Annotated[str, typer.Option("--bytes-per-s", help="the same in bytes")] = "50MB",
    in_flight: Annotated[int, typer.Option(min=1, max=1000, help="the same at once")] = 8,
    per_site: Annotated[int, typer.Option(min=1, max=1000, help="of one site at once")] = 8,
    again: Annotated[bool, typer.Option("--again", help="also where this plan was done before: the site lost what it "
                                        "held")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell what would be asked for")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Warm caches. What a site holds already is not fetched; a second request must be a hit to count.

    Killed or stopped, the same plan goes on where it was. Warming stops where the origin answers more than 1 % of
    requests with 5xx, or takes twice as long as at first; `continuum freeze cache` stops it too.
    """
    with refusals():
        from blocks.store import Journal, Store
        from blocks.store.tables import now
        from tasks.caching.files import open_caches, read_plan
        from tasks.caching.origin import Limits
        from tasks.caching.sites import bytes_of
        from tasks.caching.warm import warm

        plan_id, plans = read_plan(plan_file)
        plan_id += f"-{now():%Y%m%dT%H%M%S}" if again else ""
        caches = open_caches(caches_file)
        absent = sorted(set(plans) - set(caches))
        if absent:
            err.print(f"{caches_file}: has no line for, and so left out: {', '.join(absent)}", highlight=False,
                      markup=False, soft_wrap=True)  # fmt: skip
        plans = {name: rows for name, rows in plans.items() if name in caches}
        limits = Limits(requests_per_s, bytes_of(rate, 0, "--bytes-per-s"), in_flight, per_site)
        if dry_run:
            document = {
                name: {"objects": len(rows), "bytes": sum(row.size for row in rows)} for name, rows in plans.items()
            }
            print_json({"plan": plan_id, "sites": document})
            return
        with err.status(f"warming {len(plans)} sites"):
            told, origin = warm(plan_id, plans, {name: caches[name] for name in plans}, Journal(Store.open()), limits)
    if as_json:
        print_json({"plan": plan_id, "sites": [each.record() for each in told], "origin_requests": origin.requests,
                    "most_in_flight": origin.most_in_flight, "stopped": origin.stopped})  # fmt: skip
    else:
        table = Table(title=f"plan {plan_id}: {origin.requests} requests, {origin.most_in_flight} at once at most")
        for head in ("site", "planned", "held", "verified hits", "unwarmable", "failed", "gone since", "bytes", ""):
            table.add_column(head)
        for each in told:
            table.add_row(each.site, str(each.planned), str(each.held), str(each.verified),
                          ", ".join(f"{why} ({many})" for why, many in each.unwarmable.items()), str(each.failed),
                          str(each.gone), f"{each.bytes:,}", f"{each.state} {each.detail}")  # fmt: skip
        out.print(table)
    if any(each.state != "done" for each in told):
        raise typer.Exit(1)
