"""Warm caches: ask each for what its plan lists, never more of the origin than it may be asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from blocks.caches import CacheSite
from blocks.errors import ContinuumError, OperationFailed, Refused, Unauthorized, Unreachable
from blocks.store.journal import Journal
from blocks.store.tables import Intent, State
from tasks.caching.origin import Limits, Origin

KIND, REGIONAL = "warm-cache", "regional"
NOTED_EVERY = 50  # objects between two notes of the cursor
MOST_FAILURES = 3  # in a row, after which a site counts as down, or full


class Wanted(NamedTuple):
    """One object that a site should hold, or, where `tier` is regional, the shared cache of a region."""

    item: str
    size: int
    ttl_s: int
    tier: str = "site"


@dataclass
class Warmed:
    """What became of one site's plan.

    Attributes
    ----------
    held: were there already. verified: fetched, and a second request was a hit. unwarmable: by reason.
    failed: not fetched, to be tried again. gone: verified, and not held any more when all was done.
    state: done, stopped, down or refused; detail says why.
    """

    site: str
    planned: int
    held: int = 0
    verified: int = 0
    unwarmable: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    gone: int = 0
    bytes: int = 0
    state: str = "done"
    detail: str = ""

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return vars(self) | {"unwarmable": dict(self.unwarmable)}


def warm(
    plan_id: str, plans: Mapping[str, Sequence[Wanted]], caches: Mapping[str, CacheSite], journal: Journal,
    limits: Limits = Limits(), decisions: Mapping[str, str] | None = None, fleet: str = "",
) -> tuple[list[Warmed], Origin]:  # fmt: skip
    """Fill every site with its plan, all side by side but after their regions' caches, and say what became of it.

    A plan that was killed or stopped goes on where it was: the journal keeps how far each site had come, and what is
    held already is not fetched. One site is warmed by one run at a time: another is refused by the journal.

    Parameters
    ----------
    decisions: by site, the id of the decision that it follows, if any. fleet: of the run, if any.
    """
    return asyncio.run(_warm(plan_id, plans, caches, journal, limits, decisions or {}, fleet))


async def _warm(
    plan_id: str, plans: Mapping[str, Sequence[Wanted]], caches: Mapping[str, CacheSite], journal: Journal,
    limits: Limits, decisions: Mapping[str, str], fleet: str,
) -> tuple[list[Warmed], Origin]:  # fmt: skip
    origin = Origin(limits)
    tiers: tuple[list[_Site], list[_Site]] = ([], [])
    for name, rows in plans.items():
        is_site = not rows or rows[0].tier != REGIONAL
        tiers[is_site].append(_Site(plan_id, caches[name], list(rows), origin, journal, decisions.get(name), fleet))
    done: list[Warmed] = []
    try:
        with journal.holding():
            for tier in tiers:  # what a site asks for then comes from its region
                done += await asyncio.gather(*(site.run() for site in tier))
    finally:
        for cache in caches.values():
            await cache.close()
    return done, origin


class _Site:
    """The warming of one site."""

    def __init__(self, plan_id: str, cache: CacheSite, rows: list[Wanted], origin: Origin, journal: Journal,
                 decision_id: str | None, fleet: str) -> None:  # fmt: skip
        self._decision_id, self._fleet = decision_id, fleet
        self._plan_id, self._cache, self._rows, self._origin, self._journal = plan_id, cache, rows, origin, journal
        self._told = Warmed(cache.name, len(rows))
        self._passed: set[int] = set()  # rows after the cursor that need no second look
        self._verified: list[int] = []
        self._cursor = self._noted = self._failures = 0
        self._down = self._lost = ""

    async def run(self) -> Warmed:
        """All rows, most wanted first; what stops it is told, not raised."""
        try:
            intent, self._cursor = claim(
                self._journal, self._plan_id, self._cache.name, len(self._rows), self._decision_id, self._fleet
            )
        except ContinuumError as error:
            self._told.state, self._told.detail = "refused", str(error)
            return self._told
        self._noted = self._cursor
        if intent is None:
            self._told.detail = "was done before"
            return self._told
        rows = iter(range(self._cursor, len(self._rows)))
        await asyncio.gather(*(self._work(rows, intent) for _ in range(self._origin.limits.per_site)))
        try:
            await self._look_again()
            self._end(intent)
        except ContinuumError as error:  # another run took it over meanwhile
            self._told.state, self._told.detail = "refused", str(error)
        return self._told

    def _end(self, intent: Intent) -> None:
        told = self._told
        self._note(intent)
        if self._lost:
            told.state, told.detail = "refused", self._lost
            return
        why = self._down or self._origin.stopped
        if why or told.failed:
            told.state, told.detail = ("down" if self._down else "stopped"), why or f"{told.failed} objects failed"
            self._journal.failed(intent, f"{told.detail}; {self._cursor} of {told.planned} objects are through")
            return
        self._journal.done(intent, f"{told.verified} objects fetched and verified, {told.held} were there")

    async def _work(self, rows: Iterator[int], intent: Intent) -> None:
        for row in rows:
            if self._down or self._lost or self._origin.stopped:
                return
            try:
                if await self._one(row):
                    self._passed.add(row)
                self._failures = 0
            except (Unreachable, Unauthorized, OperationFailed) as error:  # down, locked, or full
                self._told.failed += 1
                self._failures += 1
                if self._failures >= MOST_FAILURES:
                    self._down = str(error)
            except ContinuumError as error:
                self._told.unwarmable[error.what] += 1
                self._passed.add(row)
            if len(self._passed) >= NOTED_EVERY:
                self._note(intent)

    async def _one(self, row: int) -> bool:
        """Whether the row is through: held, verified or known to be unwarmable."""
        wanted, told = self._rows[row], self._told
        held = await self._cache.probe(wanted.item)
        if held:
            told.held += 1
            return True
        async with self._origin.asking(wanted.size) as may:
            if not may:
                return False
            answer = await self._cache.fetch(wanted.item, wanted.ttl_s)
        await self._origin.told(answer, wanted.size)
        if answer.hit and held is None:
            told.held += 1
            return True
        if answer.status >= 500 or answer.status == 429:
            told.failed += 1
            return False
        told.bytes += answer.size
        if answer.unwarmable:
            told.unwarmable[answer.unwarmable] += 1
            return True
        hit = await self._is_hit(wanted)
        if hit:
            told.verified += 1
            self._verified.append(row)
        elif hit is False:
            told.unwarmable["a second request was no hit"] += 1
        return hit is not None

    async def _is_hit(self, wanted: Wanted) -> bool | None:
        """A second request; where it may reach the origin it waits for its turn too. None: nothing may be asked now."""
        held = await self._cache.probe(wanted.item)
        if held is not None:
            return held
        async with self._origin.asking(wanted.size) as may:
            return (await self._cache.fetch(wanted.item, wanted.ttl_s)).hit is True if may else None

    async def _look_again(self) -> None:
        """Count what was purged or pushed out meanwhile; it is not fetched again: the next plan decides anew."""
        if self._down or self._lost:
            return
        rows = iter(self._verified)

        async def look() -> None:
            for row in rows:
                held = await self._cache.probe(self._rows[row].item)
                self._told.gone += held is False  # not `+= await`: that adds to what was there before the wait

        try:
            await asyncio.gather(*(look() for _ in range(self._origin.limits.per_site)))
        except Unreachable as error:
            self._down = str(error)

    def _note(self, intent: Intent) -> None:
        """Keep how far the rows are through without a gap; what lies beyond is probed again after a kill."""
        while self._cursor in self._passed:
            self._passed.discard(self._cursor)
            self._cursor += 1
        if self._cursor > self._noted and not self._lost:
            try:
                self._journal.proceed(intent)
                self._journal.note(intent, {"cursor": self._cursor}, f"{self._cursor} of {self._told.planned} objects")
            except ContinuumError as error:  # frozen, or taken over: nothing may be asked for any more
                self._lost = str(error)
            self._noted = self._cursor


def claim(
    journal: Journal, plan_id: str, site: str, rows: int, decision_id: str | None = None, fleet: str = ""
) -> tuple[Intent | None, int]:  # fmt: skip
    """The right to warm one site, and the row to go on from; no intent where this plan was done there before.

    Raises
    ------
    Refused: another run warms the site, or it is frozen.
    """
    subject = f"cache/{site}"
    mine = [each for each in journal.intents(subject=subject) if each.kind == KIND and each.do.get("plan") == plan_id]
    if any(each.state == State.DONE for each in mine):
        return None, rows
    cursor = max((int(each.operation.get("cursor", 0)) for each in mine), default=0)
    for left in journal.expired():  # of a run that was killed, of whichever plan
        if left.subject == subject and left.kind == KIND:
            adopted = journal.adopt(left)
            if left.do.get("plan") == plan_id and adopted.state == State.STARTED:
                return adopted, cursor
            journal.failed(adopted, "its run was killed; another plan takes its place")
    key = f"warm/{plan_id}/{site}/{len(mine)}"
    do = {"plan": plan_id, "rows": rows, "fleet": fleet}
    intent = journal.plan(decision_id, subject, KIND, do=do, undo={}, planned_against={}, key=key)
    if intent.owner != journal.owner:
        raise Refused("another run is about to warm it", where=subject, fix="wait for it")
    return journal.start(intent), cursor
