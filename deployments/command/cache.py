"""`continuum cache plan` and `continuum replay cache`: what edge caches should hold, and what that would have hit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals, write_atomically
from deployments.command.replay import replays

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.caching.logs import AccessLog
    from tasks.caching.offline import Known
    from tasks.caching.sites import Sites

cache = typer.Typer(no_args_is_help=True, help="Plan what edge caches should hold; nothing is fetched.")

Log = Annotated[Path, typer.Argument(metavar="LOG", help="CSV or Parquet of ts, site, object, bytes; or an access log "
                                     "of nginx or Varnish (file name = site) or CloudFront; or a folder")]  # fmt: skip
SitesFile = Annotated[Path | None, typer.Option("--sites", metavar="FILE", help="CSV site[, region][, budget][, pins]"
                                                "[, ttl]: what differs from site to site")]  # fmt: skip
Budget = Annotated[str, typer.Option(help="of each site: a share of the log's distinct bytes, or bytes (500MB)")]
RegionalBudget = Annotated[str, typer.Option(help="of each region in --sites, in front of its sites")]
Catalogue = Annotated[Path | None, typer.Option(metavar="FILE", help="CSV object, bytes, published[, tags][, fresh]: "
                                                "new ones are expected to do as their kin did")]  # fmt: skip
Origins = Annotated[Path | None, typer.Option(metavar="FILE", help="CSV prefix, usd_per_gb[, usd_per_request]: plans "
                                              "save cost, not requests")]  # fmt: skip
Predictor = Annotated[Literal["counts", "trees"], typer.Option(help="trees: gradient-boosted ones beside counts, for "
                                                               "objects that fade")]  # fmt: skip
Ttl = Annotated[
    str, typer.Option(help="12h: how long caches keep a copy at most, where --sites says nothing; else for good")
]
Horizon = Annotated[str, typer.Option(help="how far ahead a plan looks, and how often one is made")]


def register(app: typer.Typer) -> None:
    """Add `continuum cache`; `replay cache` is added by importing this."""
    app.add_typer(cache, name="cache")


@replays.command("cache")
def replay_cache(
    log_file: Log,
    sites_file: SitesFile = None,
    budget: Budget = "5%",
    horizon: Horizon = "4h",
    policy: Annotated[str, typer.Option(help="policies of libcachesim to play besides lru, s3fifo, planned and oracle: "
                                        "arc, sieve, twoq, wtinylfu; all, where none is named")] = "",
    regional_budget: RegionalBudget = "5%",
    catalogue: Catalogue = None,
    origins: Origins = None,
    predictor: Predictor = "counts",
    ttl: Ttl = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Play a log through caches, with and without plans; the first 20 % of its requests warm up and are not scored.

    Each horizon a plan is made from the requests before it, and fills a site only where, on the requests before it,
    plans did better than the site's own S3-FIFO. The oracle knows each horizon's requests and fills for them.
    """
    with refusals():
        from tasks.caching.offline import check_horizon, play
        from tasks.caching.peers import policies_of
        from tasks.carbon.files import seconds_of

        policies, horizon_s = policies_of(policy), seconds_of(horizon, "--horizon")
        with _progress() as steps:
            log, sites, known = _read(log_file, sites_file, budget, steps, regional_budget, catalogue, origins,
                                      predictor, ttl)  # fmt: skip
            check_horizon(horizon_s, sites)
            document = play(log, sites, horizon_s, policies, steps("playing it"), known).record()
    _drop_hitless(document, policies)
    if as_json:
        print_json(document)
    else:
        _show(document)


@cache.command("plan")
def cache_plan(
    log_file: Log,
    sites_file: SitesFile = None,
    budget: Budget = "5%",
    horizon: Horizon = "4h",
    regional_budget: RegionalBudget = "5%",
    confidence: Annotated[float, typer.Option(min=0, max=1, help="leave out what is less likely to be asked for within "
                                              "the horizon")] = 0.0,
    catalogue: Catalogue = None,
    origins: Origins = None,
    predictor: Predictor = "counts",
    ttl: Ttl = "",
    gate: Annotated[bool, typer.Option("--gate/--no-gate", help="fill only sites whose plans won on this log")] = True,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE.csv", help="write every row as CSV")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """What each cache should hold after the log: site, object, bytes, tier, TTL and why, the most wanted first."""
    with refusals():
        from tasks.caching.offline import check_horizon, judged, plan, plan_rows, refused, with_handed_back
        from tasks.carbon.files import seconds_of

        horizon_s = seconds_of(horizon, "--horizon")
        with _progress() as steps:
            log, sites, known = _read(log_file, sites_file, budget, steps, regional_budget, catalogue, origins,
                                      predictor, ttl)  # fmt: skip
            check_horizon(horizon_s, sites)
            gated = judged(log, sites, horizon_s, steps("judging it"), known)[:2] if gate else None
        made, cpu_s = plan(log, sites, horizon_s, gated, known=known, least_confidence=confidence)
        made = with_handed_back(made, gated[0]) if gated else made
        rows = plan_rows(log, sites, made, horizon_s, known)
        unit = "hits" if known.usd is None else "usd"
        summary = {"sites_refused": refused(sites, *gated) if gated else [], f"expected_{unit}": made.worth,
                   f"bound_{unit}": made.bound, "plan_cpu_s": cpu_s, "horizon_s": horizon_s,
                   "log": log.record()}  # fmt: skip
        _write_rows(rows, summary, out_file, as_json)


def _write_rows(rows: Iterator[tuple[Any, ...]], summary: dict[str, Any], out_file: Path | None, as_json: bool) -> None:
    from tasks.caching.offline import ROW

    if as_json and not out_file:
        print_json(summary | {"plan": [dict(zip(ROW, row, strict=True)) for row in rows]})
        return
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\n")
    written.writerow(ROW)
    written.writerows(rows)
    if out_file:
        write_atomically(out_file, text.getvalue())
        err.print(f"wrote {out_file}", highlight=False, soft_wrap=True)
    else:
        typer.echo(text.getvalue(), nl=False)
    if as_json:
        print_json(summary)
        return
    _tell_refused(summary["sites_refused"])
    unit = "hits" if "expected_hits" in summary else "usd"
    worth, bound = summary[f"expected_{unit}"], summary[f"bound_{unit}"]
    share, words = worth / bound if bound else 1.0, "hits" if unit == "hits" else "USD saved"
    err.print(f"{worth:.6g} {words} expected within {summary['horizon_s']} s, {share:.1%} of the bound "
              f"on any plan; {summary['plan_cpu_s']:.2f} CPU s.", highlight=False, soft_wrap=True)  # fmt: skip


@contextmanager
def _progress() -> Iterator[Callable[[str], Callable[[float], None]]]:
    """A bar for each step; a step is told the share that is done."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), console=err, transient=True
    ) as bar:

        def step(what: str) -> Callable[[float], None]:
            task = bar.add_task(what, total=1.0)
            return lambda share: bar.update(task, completed=share)

        yield step


def _read(log_file: Path, sites_file: Path | None, budget: str, steps: Callable[[str], Callable[[float], None]],
          regional_budget: str, catalogue: Path | None, origins: Path | None,
          predictor: str, ttl: str) -> tuple[AccessLog, Sites, Known]:  # fmt: skip
    from tasks.caching.catalogue import known_of
    from tasks.caching.logs import read_log
    from tasks.caching.sites import bytes_of, sites_of
    from tasks.carbon.files import seconds_of

    log = read_log(log_file, steps(f"reading {log_file}"))
    sites, notes = sites_of(log.sites, log.distinct_bytes, budget, sites_file, ttl=ttl)
    for note in (*(f"{log_file}: {note}" for note in log.notes()), *notes):
        err.print(note, highlight=False, markup=False, soft_wrap=True)
    if not log.requests.ts_s[-1] > log.requests.ts_s[0]:
        raise InvalidInput("all its requests have one time", where=str(log_file), fix="give the time of each request")
    regional = bytes_of(regional_budget, log.distinct_bytes, "--regional-budget") if any(sites.region) else 0
    log, known = known_of(log, regional, str(catalogue or ""), str(origins or ""), predictor,
                          seconds_of(ttl, "--ttl") if ttl else 0)  # fmt: skip
    return log, sites, known


def _drop_hitless(document: dict[str, Any], policies: dict[str, Any]) -> None:
    """A policy without a single hit is broken at caches this small (WTinyLFU is, below some 100 objects), not bad."""
    played = document["policies"]
    for name in policies:
        if name not in ("lru", "s3fifo") and not played[name]["hit_ratio"] and played["s3fifo"]["hit_ratio"]:
            del played[name]
            for site in document["sites"]:
                del site["hit_ratio"][name]
            err.print(f"{name}: left out, it hits nothing at caches this small", highlight=False)


def _tell_refused(refused: list[str]) -> None:
    if refused:
        err.print(f"not filled, as their plans do not win: {', '.join(refused)}", highlight=False, markup=False,
                  soft_wrap=True)  # fmt: skip


def _show(document: dict[str, Any]) -> None:
    told = document["log"]
    table = Table(title=f"{document['scored_requests']:,} requests scored, {told['sites']} sites, "
                  f"{told['objects']:,} objects", title_justify="left")  # fmt: skip
    for head in ("policy", "hit ratio", "of bytes", "fetched ahead / request"):
        table.add_column(head, justify="left" if head == "policy" else "right")
    for name, score in sorted(document["policies"].items(), key=lambda each: each[1]["hit_ratio"]):
        table.add_row(name, f"{score['hit_ratio']:.3f}", f"{score['byte_hit_ratio']:.3f}",
                      f"{score['fills_per_request']:.3f}")  # fmt: skip
    out.print(table)
    if document["played_share"] < 1:
        out.print(f"Played on a sample of {document['played_share']:.1%} of the bytes: all of it would take too long.",
                  highlight=False)  # fmt: skip
    flushed = document["flushed"]
    if flushed["requests"]:
        out.print(f"First 200 requests of a flushed site: {flushed['cold']:.3f} cold, {flushed['warmed']:.3f} warmed.",
                  highlight=False)  # fmt: skip
    out.print(f"A plan of the whole log takes {document['plan_cpu_s']:.2f} CPU s.", highlight=False)
    _tell_refused(document["sites_refused"])
