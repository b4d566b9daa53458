"""What clients of the simulated APIs see of the active faults. The outermost app: it reaches the connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.local.faults import answers
from deployments.local.faults.exchange import Exchange
from deployments.local.faults.rules import HOLD, RESET, Rule, asked_of
from deployments.local.faults.schedule import Faults

HANG_S = 120.0  # wall seconds that a client is left hanging at most

Effect = Callable[[Rule, Exchange], Awaitable[bool]]
"""Strike a request; whether that was the end of it."""


class FaultyApis:
    """Applies the rules to each request, and outages to the answers that are under way."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app, self.faults = app, faults
        self._open: dict[Exchange, None] = {}
        self._held: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._effects: dict[str, Effect] = {
            HOLD: self._hold,
            RESET: self._reset,
            "slow": self._slow,
            "drop": self._drop,
            "error": self._error,
            "html": self._html,
        }
        faults.listen(self._note)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        asked = asked_of(scope) if scope["type"] == "http" else None
        if asked is None:
            await self.app(scope, receive, send)
            return
        self.faults.clock.run_due()  # a fault that is due by now is met by this request
        exchange = Exchange(asked, scope, receive, send, self._unheld)
        self._open[exchange] = None
        try:
            met: set[str] = set()
            while (rule := self._next(exchange, met)) is not None:
                met.add(rule.fault.id)
                if await self._effects[rule.effect](rule, exchange):
                    return
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            del self._open[exchange]

    def _next(self, exchange: Exchange, met: set[str]) -> Rule | None:
        """The next rule that strikes a request; each is asked once, whatever has changed while it waited."""
        for rule in self.faults.rules:
            if rule.fault.id not in met and rule.takes(exchange.asked):
                if self.faults.strikes(rule.fault):
                    return rule
                met.add(rule.fault.id)
        return None

    def _note(self) -> None:
        """Outages have begun or ended: answers under way are cut, held or go on."""
        self._held = self._clusters(HOLD)
        dead = self._clusters(RESET)
        for exchange in self._open:
            if exchange.asked.cluster in dead:
                exchange.cut()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _clusters(self, effect: str) -> frozenset[str]:
        outages = (rule for rule in self.faults.rules if rule.outage and rule.effect == effect)
        return frozenset(name for rule in outages for name in rule.clusters or ())

    async def _unheld(self, exchange: Exchange) -> None:
        while exchange.asked.cluster in self._held:
            await self._changed.wait()

    async def _hold(self, rule: Rule, exchange: Exchange) -> bool:
        async def lifted() -> None:
            while rule.fault.active:
                await self._changed.wait()

        if not await exchange.wait(lifted(), HANG_S):
            return True
        if rule.fault.active:
            await exchange.reset()
        return rule.fault.active

    async def _reset(self, rule: Rule, exchange: Exchange) -> bool:
        await self._work(rule, exchange)
        await exchange.reset()
        return True

    async def _drop(self, rule: Rule, exchange: Exchange) -> bool:
        await self._work(rule, exchange)
        if await exchange.wait(asyncio.sleep(HANG_S)):
            await exchange.reset()
        return True

    async def _slow(self, rule: Rule, exchange: Exchange) -> bool:
        delay_s: float = rule.fault.parameters["delay_s"]
        if rule.fault.parameters["work_done"]:
            exchange.delay_s += delay_s
            return False
        return not await exchange.wait(asyncio.sleep(delay_s))

    async def _error(self, rule: Rule, exchange: Exchange) -> bool:
        await self._work(rule, exchange)
        await answers.error(exchange.asked.api, rule.fault)(exchange.scope, exchange.receive, exchange.send)
        return True

    async def _html(self, rule: Rule, exchange: Exchange) -> bool:
        await self._work(rule, exchange)
        await answers.page(rule.fault)(exchange.scope, exchange.receive, exchange.send)
        return True

    async def _work(self, rule: Rule, exchange: Exchange) -> None:
        if rule.fault.parameters.get("work_done"):
            await exchange.work(self.app)
