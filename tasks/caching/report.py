"""Warm caches told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.store.tables import Decision
from tasks.sections import section

COLUMNS = ("site", "action", "way", "hit ratio with plans", "without", "objects", "bytes", "expected hits", "why")

REASONS = {
    "plan-wins": "plans hit {gain:.1%} more of its requests",
    "handed-back": "plans no longer win: it gets back what its own policy would hold",
    "plan-does-not-win": "plans do not win on its log: {with:.1%} hits with, {without:.1%} without",
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


def cache_sections(records: Sequence[Mapping[str, Any]], flushed: Mapping[str, float]) -> list[dict[str, Any]]:
    """What each site gets, and how plans did on its log beside its own policy."""
    refused = [str(each["site"]) for each in records if each["action"] == "refuse"]
    filled = sum(each["action"] == "warm" for each in records)
    words = [
        f"{filled} of {len(records)} sites are filled. Hit ratios are those of a replay of the log, its first 20 % "
        "left out: with plans made and judged on what was before them, and with the site's own S3-FIFO."
    ]
    if refused:
        words.append(f"Not filled, as their plans do not win: {', '.join(refused)}.")
    if flushed["requests"]:
        words.append(
            f"First 200 requests of a flushed site: {flushed['cold']:.1%} hits cold, {flushed['warmed']:.1%} warmed."
        )
    rows = [
        [each["site"], each["action"], each["way"], f"{each['hit_ratio']:.1%}", f"{each['hit_ratio_without']:.1%}",
         each["objects"], f"{each['bytes']:,}", f"{each['promised']['hits']:.4g}",
         "; ".join(REASONS[why["code"]].format(**why) for why in each["reasons"])]
        for each in records
    ]  # fmt: skip
    return [section("Edge caches", words, COLUMNS, rows)]
