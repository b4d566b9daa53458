"""Which sites are filled: an entry a site, with what a plan is to bring there and why it is filled or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.caching.decide.windows import NOW, Opening

CHANGES = ("warm",)


@dataclass(frozen=True)
class SitePlan:
    """What is known of one site's plan.

    Attributes
    ----------
    verdict: the gate's, an arm's name. hit_ratio, without: of the replay, planned and left alone.
    expected_hits: within the horizon. gain: hit ratio that the verdict's arm adds by the gate's evidence.
    opening: when it may be warmed. tier: site, or regional: a region's shared cache, judged by what its sites miss.
    """

    site: str
    verdict: str
    filled: bool
    objects: int
    bytes: int
    expected_hits: float
    gain: float
    hit_ratio: float
    without: float
    opening: Opening = NOW
    tier: str = "site"


def decide_fills(plans: Sequence[SitePlan], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An entry a site, in the order given: `warm` where there is something to ask for, `refuse` where no plan wins.

    `about` is the same for all: fleet, plan_file, log_end_s (seconds since 1970) and horizon_s.

    >>> entry, = decide_fills([SitePlan("fra", "reactive", False, 0, 0, 0.0, 0.0, 0.4, 0.41)], {})
    >>> entry["action"], entry["reasons"]
    ('refuse', [{'code': 'plan-does-not-win', 'with': 0.4, 'without': 0.41}])
    """
    entries = []
    for each in plans:
        compared = {"with": each.hit_ratio, "without": each.without}
        if each.objects and each.opening.wait_h:
            action, reasons = "hold", [{"code": each.opening.code, "wait_h": each.opening.wait_h, **compared}]
        elif each.objects:
            action = "warm"
            reasons = [{"code": "plan-wins" if each.filled else "handed-back", "gain": each.gain, **compared}]
        else:
            action = "hold" if each.filled else "refuse"
            reasons = [{"code": "nothing-to-fill" if each.filled else "plan-does-not-win", **compared}]
        entries.append({
            "unique_id": f"cache/{each.site}", "site": each.site, "tier": each.tier, "action": action,
            "reasons": reasons, **about, "objects": each.objects, "bytes": each.bytes, "way": each.verdict,
            "hit_ratio": each.hit_ratio, "hit_ratio_without": each.without,
            "promised": {"hits": each.expected_hits, "hit_ratio": each.hit_ratio},
        })  # fmt: skip
    return entries


def no_longer_fits(subjects: Sequence[str], refused: Sequence[str], closed: Sequence[str]) -> dict[str, str]:
    """By subject, why it is not filled after all: the log has grown, and its gate says no; or its window is over.

    >>> no_longer_fits(["cache/fra", "cache/ams"], ["ams"], [])
    {'cache/ams': 'its plan no longer wins on its log'}
    """
    lost = {f"cache/{site}": "its window has closed" for site in closed}
    lost |= {f"cache/{site}": "its plan no longer wins on its log" for site in refused}
    return {subject: lost[subject] for subject in subjects if subject in lost}
