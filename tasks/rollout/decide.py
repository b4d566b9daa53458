"""Which edges get a version in which wave, and whether a wave went well: pure, on what the edges have reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, sqrt
from typing import Any, Literal

TIERS = ("cloud-region", "regional-edge", "near-edge", "far-edge")  # the hardest to reach comes last
LATE = "late"  # edges that have not been heard of: they take the version when they are back, and no wave waits for them

SURE = 1.645  # standard deviations: 95 %, one-sided

Verdict = Literal["wait", "go on", "roll back"]


@dataclass(frozen=True)
class EdgeSeen:
    """An edge as the hub knows it, of one model.

    Attributes
    ----------
    wanted: digest that it is to run. running, failed: digests that it says it runs, and could not load ("": none).
    silent_s: seconds since it was last heard of; None: never.
    right, right_before: (answers that were right, of how many of its own labelled rows) of the version that it runs and
    of the one before, on the same rows; (0, 0): not told.
    """

    name: str
    tier: str
    region: str
    wanted: str = ""
    running: str = ""
    failed: str = ""
    silent_s: float | None = None
    right: tuple[int, int] = (0, 0)
    right_before: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Pace:
    """How a roll-out goes.

    Attributes
    ----------
    canary_ratio: of the edges, one at least, in the first wave. wave_edges: most edges of any other wave.
    failed_ratio: of the edges asked so far that may fail to load it; of the canary none may.
    silent_ratio: of the edges asked so far that may not answer; of the canary a third.
    soak_s, patience_s: a wave's shortest and longest wait.
    worse_ratio: how far the share of right answers on edges' own rows may lie under that of the version before; only
    what is surely beyond it counts.
    heard_s: an edge that was not heard of for longer is late. most_late_ratio: of all edges; beyond it nothing begins.
    """

    canary_ratio: float = 0.01
    wave_edges: int = 250
    failed_ratio: float = 0.02
    silent_ratio: float = 0.10
    soak_s: float = 60.0
    patience_s: float = 900.0
    worse_ratio: float = 0.02
    heard_s: float = 900.0
    most_late_ratio: float = 0.3


def decide_rollout(
    edges: Sequence[EdgeSeen], model: str, version: str, digest: str, pace: Pace, *, state: str = ""
) -> dict[str, Any]:  # fmt: skip
    """What is to be done for a version, as a decision's entry with its waves.

    state: of the newest roll-out of this very version; what was rolled back once is not rolled out again.

    >>> edges = [EdgeSeen(f"e{number}", "far-edge", "eu", silent_s=1.0) for number in range(300)]
    >>> entry = decide_rollout(edges, "digits", "2", "d2", Pace())
    >>> entry["action"], [(wave["name"], len(wave["edges"])) for wave in entry["waves"]]
    ('roll-out', [('canary', 3), ('far-edge eu', 148), ('far-edge eu', 149)])
    """
    left = [edge for edge in edges if edge.wanted != digest]
    late = [edge for edge in left if _late(edge, pace)]
    action, reasons = "roll-out", list[dict[str, Any]]()
    if not edges:
        action, reasons = "refuse", [{"code": "no-edges"}]
    elif state in ("rolled-back", "rolling-back"):
        action, reasons = "refuse", [{"code": "rolled-back-before"}]
    elif sum(_late(edge, pace) for edge in edges) > pace.most_late_ratio * len(edges):
        numbers = {"late": sum(_late(edge, pace) for edge in edges), "edges": len(edges)}
        action, reasons = "refuse", [{"code": "too-many-silent", "numbers": numbers}]
    elif not left and state != "running":
        action, reasons = "hold", [{"code": "all-on-it"}]
    awake = [edge for edge in left if not _late(edge, pace)]
    waves = _decide_waves(awake, len(edges), pace, begun=len(left) < len(edges))
    waves += [{"name": LATE, "edges": sorted(edge.name for edge in late)}] if late else []
    return {"unique_id": model, "action": action, "model": model, "version": version, "digest": digest,
            "edges": len(edges), "waves": waves if action == "roll-out" else [], "reasons": reasons}  # fmt: skip


def _decide_waves(edges: Sequence[EdgeSeen], many: int, pace: Pace, *, begun: bool) -> list[dict[str, Any]]:
    """Each edge in exactly one wave: a canary spread over tiers and regions, then by tier and region.

    many: edges of the fleet, which the canary is a share of. begun: some run the version, so there was a canary.
    """
    order = sorted(edges, key=lambda edge: (_tier(edge), edge.region, edge.name))
    waves: list[dict[str, Any]] = []
    if order and not begun:
        size = min(len(order), max(1, ceil(pace.canary_ratio * many - 1e-9)))
        picked = {order[number * len(order) // size].name for number in range(size)}
        waves.append({"name": "canary", "edges": sorted(picked)})
        order = [edge for edge in order if edge.name not in picked]
    for (_, region), group in groupby(order, key=lambda edge: (_tier(edge), edge.region)):
        names = list(group)
        parts = ceil(len(names) / pace.wave_edges)
        for part in range(parts):  # of equal size
            some = names[part * len(names) // parts : (part + 1) * len(names) // parts]
            name = f"{some[0].tier} {region}".strip()
            waves.append({"name": name, "edges": [edge.name for edge in some]})
    return waves


@dataclass(frozen=True)
class Count:
    """Of the edges that were asked so far: how many run the version, could not load it, and have said neither.

    right, right_before: (right, rows) of all that tell both, for this version and for the one before.
    """

    running: int
    failed: int
    silent: int
    right: tuple[int, int] = (0, 0)
    right_before: tuple[int, int] = (0, 0)

    @property
    def asked(self) -> int:
        """All of them."""
        return self.running + self.failed + self.silent


def count(asked: Sequence[str], seen: Mapping[str, EdgeSeen], digest: str) -> Count:
    """What the edges that were asked have answered; one that is gone from the inventory is not counted."""
    there = [seen[name] for name in asked if name in seen]
    running = sum(edge.running == digest for edge in there)
    failed = sum(edge.running != digest and edge.failed == digest for edge in there)
    both = [edge for edge in there if edge.running == digest and edge.right[1] and edge.right_before[1]]
    right, before = ((sum(each[0] for each in told), sum(each[1] for each in told))
                     for told in ([edge.right for edge in both], [edge.right_before for edge in both]))  # fmt: skip
    return Count(running, failed, len(there) - running - failed, right, before)


def surely_worse(found: Count, most: float) -> bool:
    """Whether the version answers worse than the one before by more than `most` (0-1), with 95 % confidence.

    A one-sided bound of the difference of two shares, as if they were of different rows: wider than it need be.

    >>> found = Count(3, 0, 0, (180, 300), (285, 300))
    >>> surely_worse(found, 0.02), surely_worse(found, 0.5), surely_worse(Count(3, 0, 0), 0.02)
    (True, False, False)
    """
    if not found.right[1] or not found.right_before[1]:
        return False
    now, before = found.right[0] / found.right[1], found.right_before[0] / found.right_before[1]
    spread = sqrt(now * (1 - now) / found.right[1] + before * (1 - before) / found.right_before[1])
    return before - now - SURE * spread > most


def decide_check(found: Count, waited_s: float, pace: Pace, *, canary: bool) -> Verdict:
    """Whether the next wave may begin. Silence alone never lets a wave pass before its time, nor too much of it after.

    >>> pace = Pace(soak_s=10, patience_s=100)
    >>> [decide_check(Count(*found), waited, pace, canary=False) for found, waited in
    ...  (((95, 0, 5), 5), ((95, 0, 5), 10), ((95, 3, 2), 5), ((80, 0, 20), 50), ((80, 0, 20), 100))]
    ['wait', 'go on', 'roll back', 'wait', 'roll back']
    """
    if found.failed > (0 if canary else pace.failed_ratio * found.asked):
        return "roll back"
    if surely_worse(found, pace.worse_ratio):
        return "roll back"
    allowed = found.asked // 3 if canary else pace.silent_ratio * found.asked  # of a few edges a share says little
    enough = found.silent <= allowed
    if enough and waited_s >= pace.soak_s:
        return "go on"
    return "wait" if waited_s < pace.patience_s else "roll back"


def _late(edge: EdgeSeen, pace: Pace) -> bool:
    return edge.silent_s is None or edge.silent_s > pace.heard_s


def _tier(edge: EdgeSeen) -> int:
    return TIERS.index(edge.tier) if edge.tier in TIERS else len(TIERS)
