"""A move at one of its stages: its two clusters, what its intent remembers, and what must hold of its copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from blocks.errors import Conflict, NotFound, Unreachable
from blocks.kubernetes import KubernetesApi
from tasks.migration.moves import objects
from tasks.migration.moves.closure import Object, replicas_of
from tasks.migration.moves.hook import Ask, TurnedRound, ask_over_http
from tasks.migration.moves.plan import SILENT, MovePlan, Route, digest_of
from tasks.migration.moves.stages import DRAINED, REMOVED, SHIFTING

Clusters = Callable[[str], KubernetesApi]
Check = Callable[[MovePlan], str]  # why the target does not serve as it should; "" where it does
SetWeight = Callable[[Route, int], None]  # percent of the requests that the route's target gets


@dataclass(frozen=True)
class Pace:
    """How long things may take, seconds.

    Attributes
    ----------
    patience_s: for pods to be Ready, or gone. away_s: for an API that does not answer.
    soak_s: that the copy must stay Ready before it gets requests, and once more when the source is gone.
    check_s: between two shares of the requests.
    """

    patience_s: float = 600.0
    soak_s: float = 60.0
    check_s: float = 30.0
    away_s: float = 120.0
    poll_s: float = 2.0

    @property
    def lease_s(self) -> int:
        """How long a workload's Lease holds: it is renewed at each stage, and a stage may take all of these."""
        return round(2 * self.patience_s + self.soak_s + self.check_s + 2 * self.away_s) + 10


@dataclass(frozen=True)
class World:
    """All that a move reaches out to, so that it can be played.

    Attributes
    ----------
    check: looked at in every stage from Ready on. route: sets the share of a weighted route.
    ask: calls the hook of a workload that keeps data.
    still_wanted: whether the cause still holds; asked until the requests begin to shift.
    clock, sleep: seconds.
    """

    clusters: Clusters
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    pace: Pace = field(default_factory=Pace)
    check: Check = lambda _: ""
    route: SetWeight | None = None
    ask: Ask = ask_over_http
    still_wanted: Callable[[MovePlan], bool] = lambda _: True

    def looks(self, patience_s: float) -> Iterator[None]:
        """Look once, then again and again until patience ends."""
        until = self.clock() + patience_s
        while True:
            yield
            if self.clock() >= until:
                return
            self.sleep(self.pace.poll_s)


class SilentYet(Unreachable):
    """The copy of a silent cluster's workload serves; what is left in that cluster waits until it answers."""


@dataclass
class Step:
    """A stage about to be left: the move, its two clusters, and what its intent remembers."""

    world: World
    plan: MovePlan
    intent_id: str
    about: dict[str, Any]

    @property
    def source(self) -> KubernetesApi:
        """Where it is."""
        return self.world.clusters(self.plan.source)

    @property
    def target(self) -> KubernetesApi:
        """Where it goes."""
        return self.world.clusters(self.plan.target)

    @property
    def want(self) -> int:
        """Pods that the target must have: what the source had at most since the move began."""
        return int(self.about["want"])

    def of(self, api: KubernetesApi) -> Object | None:
        """The workload in a cluster."""
        return objects.found(api, self.plan.resource, self.plan.name, self.plan.namespace)

    @property
    def is_from_afar(self) -> bool:
        """Whether the silence of the source is the cause, and it is silent still, or came back without the workload."""
        if self.plan.cause != SILENT:
            return False
        try:
            return self.of(self.source) is None
        except (Unreachable, NotFound):  # NotFound: of the cluster, which somebody took out of the inventory
            return True

    @property
    def needs_no_source(self) -> bool:
        """Whether it may go on, or back, without a look at a silent source: nothing in that is touched yet."""
        return self.about["weight"] < 100 and self.is_from_afar

    def source_as_planned(self) -> Object:
        """The source, unedited; its number of pods may have changed meanwhile, and then so many are wanted.

        A silent one is taken to be as it was.

        Raises
        ------
        TurnedRound: somebody removed or edited it.
        """
        if self.needs_no_source:
            return self.plan.workload(self.want)
        there = self.of(self.source)
        if there is None:
            raise TurnedRound("the workload was removed by somebody else", where=self.plan.subject)
        if digest_of(there) != self.plan.digest:
            raise TurnedRound("the workload was edited by somebody else", where=self.plan.subject, fix="plan it anew")
        self.about["want"] = max(self.want, replicas_of(there))
        return there

    def copy(self) -> Object:
        """The target's copy that this move made.

        Raises
        ------
        TurnedRound: it is not there, or somebody else's.
        """
        there = self.of(self.target)
        if there is None or not objects.is_ours(there, self.maker):
            raise TurnedRound("the copy was removed or replaced by somebody else", where=self.place)
        return there

    @property
    def maker(self) -> str:
        """The move that made the copy: this one, or one that this store has forgotten."""
        return str(self.about.get("maker") or self.intent_id)

    def see_how_far(self) -> None:
        """Go by the world where it is further than the journal remembers: its store was put back to an older day.

        Raises
        ------
        Conflict: another move has drained the source, and holds it still.
        """
        origin = objects.origin_of(self.of(self.target)) if self.about["stage"] not in (DRAINED, REMOVED) else {}
        if origin.get("cluster") != self.plan.source:
            return
        there = self.of(self.source)
        if there is None:
            self.about |= {"stage": REMOVED, "weight": 100, "maker": origin["intent"]}
        elif not replicas_of(there) and origin["intent"] == self.intent_id:
            self.about |= {"stage": SHIFTING, "weight": 100}
        elif not replicas_of(there) and objects.fence_of(there).get("intent") == origin["intent"]:
            self.source.acquire_lease(
                lease_name(self.plan), self.intent_id, self.world.pace.lease_s, self.plan.namespace
            )
            self.about |= {"stage": DRAINED, "weight": 100, "maker": origin["intent"]}

    @property
    def place(self) -> str:
        """The workload's place in the target, as messages name it."""
        return f"{self.plan.target}/{self.plan.namespace}/{self.plan.name}"

    def holds(self) -> None:
        """See that the copy has all of its pods Ready, and serves.

        Raises
        ------
        TurnedRound: it does not.
        """
        copy = self.copy()
        if replicas_of(copy) < self.want:
            objects.scale(self.target, copy, self.want)
        if objects.ready(self.copy()) < self.want:
            self._until_ready()
        if said := self.world.check(self.plan):
            raise TurnedRound(f"it does not serve as it should: {said}", where=self.place)

    def lasts(self) -> None:
        """See that the copy stays so for the soak; a pod that starts anew begins it anew, while patience lasts.

        Raises
        ------
        TurnedRound: it does not.
        """
        until = self.world.clock() + self.world.pace.patience_s
        while True:
            self.holds()
            if all(objects.ready(self.copy()) >= self.want for _ in self.world.looks(self.world.pace.soak_s)):
                return
            if self.world.clock() >= until:
                raise TurnedRound("its pods do not stay Ready", where=self.place, fix="see their events")

    def _until_ready(self) -> None:
        ready = 0
        for _ in self.world.looks(self.world.pace.patience_s):
            ready = objects.ready(self.copy())
            if ready >= self.want:
                return
        raise TurnedRound(f"{ready} of {self.want} pods are Ready", where=self.place, fix="see their events")


def lease_name(plan: MovePlan) -> str:
    """Name of the Lease that keeps two movers off one workload."""
    return f"continuum-move-{plan.name}"[:63].rstrip("-.")


def give_back_lease(step: Step) -> None:
    """Let others move the workload again."""
    with suppress(Conflict):
        lease = step.source.lease(lease_name(step.plan), step.plan.namespace)
        if lease is not None and lease.holder == step.intent_id:
            step.source.release_lease(lease)
