"""Two laws that no fault may break: no size that nobody decided, and no pods lost below their budget."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

import requests

from blocks.errors import ContinuumError
from blocks.fleet import Cluster, Fleet, Provider, pool_id
from blocks.store import Journal
from blocks.store.tables import Intent, State
from deployments.simulation import Simulation
from tasks.scaling.actuators.floor import SetFloor
from tasks.scaling.actuators.size import SetSize
from tasks.scaling.pool_access import open_pool

BUDGETS = "/apis/policy/v1/poddisruptionbudgets"
SETTLED_S = 600.0  # by then the nodes of any pool have joined or gone
LATE_S = 0.3  # what a watch has to tell of the past comes at once


class Health(NamedTuple):
    """Pods of a budget that are Ready, and how many of them must be."""

    ready: int
    least: int


class Laws:
    """Watches a simulated fleet from now on, by the clouds' own log and by watches on its disruption budgets.

    Parameters
    ----------
    journals: where the decided changes are written; several where installations share the fleet.
    """

    def __init__(self, simulation: Simulation, fleet: Fleet, *journals: Journal) -> None:
        self.simulation, self.fleet, self.journals = simulation, fleet, journals
        self._others: set[str] = set()
        self._known = {entry["id"] for entry in simulation.operations()}
        self._sizes = _sizes(simulation, fleet)
        self._bookmarks: dict[str, str] = {}
        self._health: dict[tuple[str, str], Health] = {}
        for cluster in fleet.clusters:
            answer = open_pool(fleet, pool_id(cluster.name, cluster.node_pools[0].name)).api.request("GET", BUDGETS)
            self._bookmarks[cluster.name] = answer["metadata"]["resourceVersion"]
            for budget in answer["items"]:
                self._health[cluster.name, budget["metadata"]["name"]] = _health(budget)

    def somebody_set(self, subject: str, desired: int) -> None:
        """Let somebody else give a pool a size, which they are free to decide."""
        access, before = open_pool(self.fleet, subject), {entry["id"] for entry in self.simulation.operations()}
        access.pools.set_desired(access.pool.name, desired)
        self._others |= {entry["id"] for entry in self.simulation.operations()} - before
        self.simulation.advance(SETTLED_S)
        if access.cluster.provider is Provider.K3S:
            self._sizes[subject] = desired

    def check(self, *, hurt: Iterable[str] = ()) -> None:
        """Both laws hold. `hurt` names clusters whose nodes or pods a fault has struck: budgets do not bind faults."""
        wrong = self.undecided() + self.lost(hurt)
        assert not wrong, "\n".join(wrong)

    def undecided(self) -> list[str]:
        """Changes of size that no started intent explains (each explains one), no autoscaler and nobody else made."""
        wrong: list[str] = []
        autoscaled = {pool_id(c.name, p.name) for c, p in self.fleet.pools() if p.autoscaler != "none"}
        expected: dict[str, set[int]] = {subject: {size} for subject, size in self._sizes.items()}
        log, sizes = self._at_one_moment()
        intents = self._started()  # after the log: an intent is started before its operation
        for entry in log:
            subject = pool_id(entry["cluster"], entry["pool"])
            if entry["id"] in self._known or (entry["from"], entry["bounds_from"]) == (entry["to"], entry["bounds_to"]):
                continue
            failed = entry["state"] == "failed"  # then the cloud itself puts back what it could not do
            low, high = sorted((entry["from"], entry["to"]))
            expected[subject] = set(range(low, high + 1)) if failed else {entry["to"]}
            if entry["id"] in self._others or (entry["kind"] == "autoscaler" and subject in autoscaled):
                continue
            decided = next((intent for intent in intents[subject] if _asks_for(intent, entry)), None)
            if decided is None:
                what = f"{subject}: {entry['kind']} {entry['from']} -> {entry['to']} was decided by nobody"
                wrong.append(f"{what}: {entry}; decided and left over: {intents[subject]}")
            else:
                intents[subject].remove(decided)
        for subject, size in sizes.items():
            if subject.startswith("edge-"):
                expected[subject] = _after(self._sizes[subject], intents[subject])
            if size not in expected[subject]:
                wrong.append(f"{subject}: has {size} nodes, where {sorted(expected[subject])} were decided")
        return wrong

    def _at_one_moment(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """The clouds' log, and the sizes that it led to: autoscalers go on meanwhile."""
        before = _sizes(self.simulation, self.fleet)
        while True:
            log, sizes = self.simulation.operations(), _sizes(self.simulation, self.fleet)
            if sizes == before:
                return log, sizes
            before = sizes

    def lost(self, hurt: Iterable[str] = ()) -> list[str]:
        """Moments at which Ready pods went away although a budget needed them."""
        spared, wrong = set(hurt), []
        clusters = self.fleet.clusters
        with ThreadPoolExecutor(len(clusters)) as threads:
            told = list(threads.map(lambda cluster: list(self._changes(cluster)), clusters))
        for cluster, budgets in zip(clusters, told, strict=True):
            for budget in budgets:
                key, health = (cluster.name, budget["metadata"]["name"]), _health(budget)
                before = self._health.get(key, health)
                self._health[key] = health
                if health.ready < before.ready and health.ready < health.least and cluster.name not in spared:
                    wrong.append(f"{'/'.join(key)}: {health.ready} pods are Ready, its budget needs {health.least}")
        return wrong

    def _started(self) -> dict[str, list[Intent]]:
        """Intents that had a right to change the world, by subject, oldest first."""
        found: dict[str, list[Intent]] = defaultdict(list)
        for journal in self.journals:
            for intent in reversed(journal.intents()):
                if any(step.event == "started" for step in journal.steps(intent.id)):
                    found[intent.subject].append(intent)
        return found

    def _changes(self, cluster: Cluster) -> Iterator[dict[str, Any]]:
        """What has happened to a cluster's budgets since the last look, in order."""
        access = open_pool(self.fleet, pool_id(cluster.name, cluster.node_pools[0].name)).cluster.kubernetes
        token = access.token.get_secret_value() if access.token else ""
        asked = {"watch": "1", "resourceVersion": self._bookmarks[cluster.name], "timeoutSeconds": "1"}
        with suppress(requests.RequestException), requests.get(  # what a fault hides now is told at the next look
            f"{access.server}{BUDGETS}", asked, headers={"Authorization": f"Bearer {token}"}, stream=True,
            timeout=(3, LATE_S),
        ) as answer:  # fmt: skip
            answer.raise_for_status()
            for line in answer.iter_lines():
                if not line.startswith(b'{"type"'):  # a page of a proxy
                    return
                event = json.loads(line)
                assert event["type"] != "ERROR", event
                self._bookmarks[cluster.name] = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "DELETED":
                    yield event["object"]


def _health(budget: dict[str, Any]) -> Health:
    status = budget.get("status") or {}
    return Health(status.get("currentHealthy", 0), status.get("desiredHealthy", 0))


def _sizes(simulation: Simulation, fleet: Fleet) -> dict[str, int]:
    """What every pool is asked to have: of clouds as they know it, of edge clusters the nodes open for pods."""
    sizes = {
        pool_id(cluster["name"], pool["name"]): pool["desired"]
        for cluster in simulation.status()["clusters"]
        for pool in cluster["node_pools"]
    }
    for cluster, pool in fleet.pools():
        if cluster.provider is Provider.K3S:
            subject = pool_id(cluster.name, pool.name)
            del sizes[subject]
            with suppress(ContinuumError):  # struck by a fault: the next look tells
                sizes[subject] = open_pool(fleet, subject).state().desired
    return sizes


def _asks_for(intent: Intent, entry: dict[str, Any]) -> bool:
    if intent.kind == SetSize.kind:
        return (intent.undo["desired"], intent.do["desired"]) == (entry["from"], entry["to"])
    if intent.kind != SetFloor.kind:
        return False
    low, high = entry["bounds_to"]
    sizes = {min(max(entry["from"], low), high)}
    # AKS takes the count along with the bounds, as it was read: an autoscaler may have taken a node since. Never less.
    if "Microsoft.ContainerService" in str(intent.operation.get("id")):
        sizes |= set(range(entry["from"], high + 1))
    return bool(low == intent.do["value"]["min_nodes"] and entry["to"] in sizes)


def _after(size: int, intents: Iterable[Intent]) -> set[int]:
    """Sizes that an edge pool may have after these changes, oldest first."""
    found = {size}
    for intent in intents:
        before, target = intent.undo["desired"], intent.do["desired"]
        if intent.state == State.DONE:
            found = {target}
        elif intent.state != State.UNDONE:
            found = set(range(min(before, target), max(before, target) + 1))
    return found
