"""Write the weights of a route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import Conflict
from blocks.fleet import Fleet
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent
from blocks.traffic import Session, WeightedRoute, new_session, open_route
from tasks.acting import (
    Planned,
    Result,
    Seen,
    SubjectActuator,
    carry_out_all,
    looks,
    settle_left_over,
    undo_with,
)
from tasks.run import Run


class SetWeights(SubjectActuator):
    """The weights of all backends of one route, and the session that keeps users to theirs."""

    kind = "set-route-weights"
    noun = "route"

    def __init__(self, route: WeightedRoute) -> None:
        self._route = route

    @property
    def where(self) -> str:
        """The object, or the record."""
        return self._route.where

    def told(self, value: Mapping[str, Any]) -> str:
        """Backends with their weights, and what keeps users."""
        session = value.get("session")
        return weights_told(value["weights"]) + (f", users kept by {session.get('sessionName')}" if session else "")

    def look(self) -> Seen:
        """All weights, those of backends that no site has included."""
        state = self._route.read()
        return Seen(route_value(state.weights, state.session), state.version)

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        """One guarded write."""
        journal.proceed(intent)
        self._route.write(value["weights"], value.get("session"), str(seen.version))
        journal.note(intent, {"id": self.where}, f"wrote {self.told(value)}")

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """What is read back, where it is not what was written."""
        wanted, there = intent.do["value"], dict[str, Any]()
        for _ in looks(patience_s):
            there = self.look().value
            if there == wanted:
                return ""
        return f"it was written, and reads {self.told(there)} after {patience_s:.0f} s"

    def said(self, intent: Intent) -> str:
        """The weights."""
        return f"weights are {self.told(intent.do['value'])}"


def route_value(weights: Mapping[str, int], session: Session | None) -> dict[str, Any]:
    """What the journal keeps of a route.

    >>> route_value({"a": 100}, None)
    {'weights': {'a': 100}}
    """
    return {"weights": dict(weights)} | ({} if session is None else {"session": dict(session)})


def weights_told(weights: Mapping[str, int]) -> str:
    """Weights in words.

    >>> weights_told({"web-munich": 80, "web-dallas": 20})
    'web-dallas 20, web-munich 80'
    """
    return ", ".join(f"{backend} {weight}" for backend, weight in sorted(weights.items()))


def _open_weights(fleet: Fleet, subject: str, kind: str) -> SubjectActuator:
    """The actuator of a route; see `open_route` for subjects and what is raised."""
    del kind
    return SetWeights(open_route(fleet, subject))


APPLIERS = {SetWeights.kind: undo_with(_open_weights)}


@task(name="write weights", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision]) -> list[Result]:
    """Write what was decided, where weights and session are still those that it was decided on."""

    def change_of(decision: Decision) -> tuple[SubjectActuator, Planned]:
        actuator, wanted = _open_weights(run.fleet, decision.subject, SetWeights.kind), decision.content
        seen = actuator.look()
        session = seen.value.get("session")
        if seen.value != route_value(wanted["seen"], wanted.get("seen_session")):
            raise Conflict(f"was changed to {actuator.told(seen.value)} since", where=actuator.where,
                           fix="the next pass decides anew")  # fmt: skip
        if keep_s := wanted.get("new_session_s"):  # not in what an older release decided
            session = new_session(session, keep_s)
        return actuator, Planned({"value": route_value(wanted["weights"], session)}, {"value": dict(seen.value)})

    return carry_out_all(run, approved, change_of)


@task(name="finish left-over weights", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run) -> list[Result]:
    """See `settle_left_over`."""
    return settle_left_over(run, APPLIERS, _open_weights)
