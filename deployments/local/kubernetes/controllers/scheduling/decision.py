"""What to do about a waiting pod: a node, or victims, or words. Nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from deployments.local.kubernetes.controllers.scheduling import words
from deployments.local.kubernetes.controllers.scheduling.cache import Cache, PodState
from deployments.local.kubernetes.controllers.scheduling.candidates import Candidates
from deployments.local.kubernetes.controllers.scheduling.filters import Refusal
from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo
from deployments.local.kubernetes.controllers.scheduling.preemption import Preemption, Victims
from deployments.local.kubernetes.controllers.scheduling.spreading import default_selector
from deployments.local.kubernetes.store import Key, Store


class Decision(NamedTuple):
    """One pod's lot.

    Attributes
    ----------
    node: where it goes; all else is empty then.
    victims: pods that make room for it.
    nominated: where room is held for it, or is being made.
    plugins: which plugins rejected it.
    """

    node: str = ""
    victims: Victims | None = None
    nominated: str = ""
    message: str = ""
    plugins: tuple[str, ...] = ()


class Round:
    """One pass over the waiting pods; what holds for a class of pods is worked out once."""

    def __init__(self, cache: Cache, store: Store, now_s: float) -> None:
        self._cache, self._store, self._now_s = cache, store, now_s
        self._classes: dict[PodInfo, tuple[Candidates, Preemption]] = {}
        self._hopeless: dict[PodInfo, tuple[tuple[int, int], Decision]] = {}
        cache.forget_changes()

    def decide(self, key: Key, state: PodState) -> Decision:
        """What to do about a pod."""
        info = state.info
        candidates, preemption = self._of(info)
        stamp = (self._cache.freed, len(self._cache.placements) if candidates.topological else 0)
        known = self._hopeless.get(info)
        # Pods that were placed meanwhile only took room: who found none before finds none now.
        if known is not None and known[0] == stamp and not state.nominated:
            return known[1]
        if state.nominated:
            if candidates.takes(state.nominated, key):
                return Decision(state.nominated)
            candidates, preemption = self._made(info, key)
        if (node := candidates.best()) is not None:
            return Decision(node)
        decision = self._without_node(state, candidates, preemption)
        if decision.victims is None and not state.nominated:
            self._hopeless[info] = (stamp, decision)
        return decision

    def _of(self, info: PodInfo) -> tuple[Candidates, Preemption]:
        found = self._classes.get(info)
        if found is None:
            found = self._classes[info] = self._made(info)
        else:
            found[1].forget(found[0].refresh())
        return found

    def _made(self, info: PodInfo, besides: Key | None = None) -> tuple[Candidates, Preemption]:
        candidates = Candidates(info, self._cache, default_selector(info, self._store), besides)
        return candidates, Preemption(candidates, self._cache, self._store, self._now_s)

    def _without_node(self, state: PodState, candidates: Candidates, preemption: Preemption) -> Decision:
        nodes = len(self._cache.in_order())
        if not nodes:
            return Decision(message=words.NO_NODES)
        refusals = candidates.refusals()
        plugins = tuple(sorted({found.plugin for found in refusals.values()}))
        filtered = words.fit_error(nodes, [reason for found in refusals.values() for reason in found.reasons])
        if (why := self._not_eligible(state, refusals)) is not None:
            return Decision(nominated=state.nominated, message=words.unschedulable(filtered, why), plugins=plugins)
        resolvable = sorted(name for name, found in refusals.items() if found.resolvable)
        victims, reasons = preemption.best(state.uid, resolvable)
        if victims is not None:
            return Decision(victims=victims, nominated=victims.node, message=filtered, plugins=plugins)
        why = words.fit_error(nodes, [*reasons, *[words.NOT_HELPFUL] * (nodes - len(resolvable))])
        return Decision(message=words.unschedulable(filtered, why), plugins=plugins)

    def _not_eligible(self, state: PodState, refusals: Mapping[str, Refusal]) -> str | None:
        """Why a pod may not preempt others now (PodEligibleToPreemptOthers).

        Unlike there, any pod of lower priority that is leaving counts, not only the scheduler's own victims: where the
        real scheduler would try again after a back-off, ours would at once, and for ever.
        """
        if not state.info.preempts:
            return words.NEVER
        held = refusals.get(state.nominated)
        if held is None or not held.resolvable:
            return None
        for key, other in self._cache.nodes[state.nominated].pods.items():
            pod = self._store.get("pods", *key) if other.priority < state.info.priority else None
            if pod is not None and "deletionTimestamp" in pod.obj["metadata"]:
                return words.TERMINATING
        return None
