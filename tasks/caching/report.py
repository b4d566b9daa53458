"""Warm caches told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from blocks.series import utc
from blocks.store.tables import Decision
from tasks.caching.decide.day import Day, last_day
from tasks.caching.offline import Played
from tasks.caching.scorecard import Marked, totals
from tasks.caching.warm import Warmed
from tasks.sections import section

COLUMNS = (
    "cache",
    "tier",
    "action",
    "way",
    "hit ratio with plans",
    "without",
    "objects",
    "bytes",
    "expected hits",
    "why",
)

REASONS = {
    "plan-wins": "plans hit {gain:.1%} more of its requests",
    "handed-back": "plans no longer win: it gets back what its own policy would hold",
    "plan-does-not-win": "plans do not win on its log: {with:.1%} hits with, {without:.1%} without",
    "outside-window": "its window begins in about {wait_h} h",
    "cleaner-hour-later": "the cleanest hour of its window is in about {wait_h} h",
    "nothing-to-fill": "nothing is expected to be asked for",
}


def explain(record: Mapping[str, Any]) -> str:
    """One site's decision in one line."""
    why = "; ".join(REASONS[each["code"]].format(**each) for each in record["reasons"])
    does = {"warm": f"gets {record['objects']} objects, {record['bytes']:,} bytes", "hold": "is left as it is",
            "refuse": "is not filled"}[record["action"]]  # fmt: skip
    return f"{record['site']}: {does} ({why})"


EXPLAINERS = {"cache-prepopulation": explain}


def explain_all(changes: Sequence[Decision]) -> str:
    """The changes that somebody is to approve."""
    return f"**{len(changes)} sites** would be filled:\n\n" + "\n".join(f"- {explain(row.content)}" for row in changes)


def cache_sections(
    records: Sequence[Mapping[str, Any]], played: Played, warmed: Sequence[Warmed], marked: Sequence[Marked],
    usd_per_gb: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """What each site gets and how plans did on its log; the origin's day; and what earlier plans came to."""
    requests, usd = played.replayed.requests, played.known.usd
    if usd is None:
        usd = usd_per_gb * requests.size / 1e9
    day = last_day(requests, played.replayed.scores["planned"], played.replayed.own, usd)
    prices = f"{usd_per_gb:g} USD a GB" if usd_per_gb else ""
    if played.known.usd is not None:
        prices = "the file of origins"
    found = [_decisions(records, played.record()["flushed"], warmed), _day_section(day, played.played_share, prices)]
    return [*found, *([_scored_section(marked)] if marked else [])]


def _decisions(
    records: Sequence[Mapping[str, Any]], flushed: Mapping[str, float], warmed: Sequence[Warmed]
) -> dict[str, Any]:
    refused = [str(each["site"]) for each in records if each["action"] == "refuse"]
    filled = sum(each["action"] == "warm" for each in records)
    words = [
        f"{filled} of {len(records)} caches are filled, regions' before their sites'. Hit ratios are those of a replay "
        "of the log, its first 20 % left out: with plans made and judged on what was before them, and with the cache's "
        "own policy; a region's are of what its sites miss."
    ]
    if refused:
        words.append(f"Not filled, as their plans do not win: {', '.join(refused)}.")
    if flushed["requests"]:
        words.append(
            f"First 200 requests of a flushed site: {flushed['cold']:.1%} hits cold, {flushed['warmed']:.1%} warmed."
        )
    if warmed:
        words.append(
            f"Moved: {sum(each.bytes for each in warmed):,} bytes, {sum(each.verified for each in warmed)} objects "
            f"fetched and verified, {sum(each.held for each in warmed)} were there."
        )
    rows = [
        [each["site"], each["tier"], each["action"], each["way"], f"{each['hit_ratio']:.1%}",
         f"{each['hit_ratio_without']:.1%}", each["objects"], f"{each['bytes']:,}", f"{each['promised']['hits']:.4g}",
         "; ".join(REASONS[why["code"]].format(**why) for why in each["reasons"])]
        for each in records
    ]  # fmt: skip
    return section("Edge caches", words, COLUMNS, rows)


def _day_section(day: Day, share: float, prices: str) -> dict[str, Any]:
    """The last day of the log by hour; a log that was played in part is told for the whole of it."""
    ways = {"with plans": day.planned, "without": day.without}
    requests, gigabytes, usd = (
        {name: float(getattr(way, kind).sum()) / share / unit for name, way in ways.items()}
        for kind, unit in (("origin_requests", 1), ("origin_bytes", 1e9), ("origin_usd", 1))
    )
    peak = {name: float(way.origin_requests[day.peak]) / share for name, way in ways.items()}
    words = [
        f"In the log's last {len(day.requests)} hours the origin would have got {requests['without']:,.0f} requests "
        f"({gigabytes['without']:.4g} GB) without plans and {requests['with plans']:,.0f} "
        f"({gigabytes['with plans']:.4g} GB) with them, what is fetched ahead included.",
        f"At its peak, in the hour from {utc(float(day.begin_s[day.peak])):%H:%M} UTC, {peak['without']:,.0f} without "
        f"and {peak['with plans']:,.0f} with plans: {peak['without'] - peak['with plans']:,.0f} avoided.",
    ]
    if prices:
        words.append(f"From the origin, by the prices of the request ({prices}): {usd['without']:.2f} USD without, "
                     f"{usd['with plans']:.2f} USD with plans.")  # fmt: skip
    t = [float(at) for at in day.begin_s]
    many = np.maximum(day.requests, 1)
    plots: list[dict[str, Any]] = [
        {"title": "Hit ratio of all sites by hour", "unit": "hits / requests", "free_y": True,
         "lines": [{"label": name, "t": t, "y": (way.hits / many).tolist()} for name, way in ways.items()]},
        {"title": "What the origin gets by hour", "unit": "requests",
         "lines": [{"label": name, "t": t, "y": (way.origin_requests / share).tolist()}
                   for name, way in ways.items()]},
    ]  # fmt: skip
    return section("Edge caches over the day", words, plots=plots)


def _scored_section(marked: Sequence[Marked]) -> dict[str, Any]:
    promised, hits, without, requests = totals(marked)
    words = [
        f"{len(marked)} plans of earlier runs, scored by this log: {promised:,.0f} hits on planned objects were "
        f"promised, {hits:,} came, of {requests:,} requests; the caches' own policy would have had {without:,}."
    ]
    rows = [
        [each.site, each.mode, f"{utc(each.begin_s):%Y-%m-%d %H:%M}", each.came.requests, f"{each.promised_hits:.1f}",
         each.came.hits, each.came.hits_without]
        for each in marked
    ]  # fmt: skip
    columns = ["cache", "mode", "from (UTC)", "requests", "hits promised", "hits", "hits without"]
    return section("Edge caches: what earlier plans came to", words, columns, rows)
