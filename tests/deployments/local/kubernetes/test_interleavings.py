"""Whatever clients do, in whatever order: the laws that hold in every real cluster hold here."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster, StatusError, eviction, reading, watch
from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.selectors import selection
from deployments.local.kubernetes.trees import is_true
from deployments.local.kubernetes.watch import Shape, WatchOptions

Json = dict[str, Any]

WATCHED = ("pods", "nodes", "deployments.apps", "replicasets.apps", "poddisruptionbudgets.policy")
APPS, NODES = ("a", "b"), {"n0": "4", "n1": "2", "n2": "1"}  # a machine that comes back is as large as it was
GRACE_S = 45.0  # in which pods of a node that is gone may still be seen
MIN_AVAILABLE = {"a": 2, "b": "50%"}
KUBELET, DOWN = "continuum.io/simulated-kubelet", "continuum.io/kubelet-down"

apps, nodes, numbers = st.sampled_from(APPS), st.sampled_from(sorted(NODES)), st.integers(0, 9)


class Interleavings(RuleBasedStateMachine):
    """Clients create, patch, scale, evict and delete; nodes fail; time passes."""

    @initialize()
    def begin(self) -> None:
        self.clock = SimulatedClock(1_900_000_000.0, 0)
        self.cluster = SimulatedCluster("c", self.clock, 7)
        self.gone_s: dict[str, float] = {}
        self.version = self.cluster.backend.store.version
        self.replayed: dict[str, dict[tuple[str, str], Json]] = {}
        for resource in WATCHED:
            listed = self.cluster.list(resource)
            self.replayed[resource] = {_key(obj): obj for obj in listed}
        for name in ("n0", "n1"):
            self.add_node(name)

    @rule(name=nodes)
    def add_node(self, name: str) -> None:
        room = {"cpu": NODES[name], "memory": "8Gi", "pods": "6"}
        self._try(self.cluster.create, "nodes", {"metadata": {"name": name, "labels": {KUBELET: "true"}},
                                                 "status": {"capacity": room, "allocatable": room}})  # fmt: skip
        self.gone_s.pop(name, None)

    @rule(name=nodes)
    def remove_node(self, name: str) -> None:
        if self._try(self.cluster.delete, "nodes", name):
            self.gone_s[name] = self.clock.now()

    @rule(name=nodes, down=st.booleans())
    def silence(self, name: str, down: bool) -> None:
        body = {"metadata": {"annotations": {DOWN: "true" if down else None}}}
        self._try(self.cluster.patch, "nodes", name, body)

    @rule(name=nodes, closed=st.booleans())
    def cordon(self, name: str, closed: bool) -> None:
        self._try(self.cluster.patch, "nodes", name, {"spec": {"unschedulable": closed or None}})

    @rule(app=apps, replicas=numbers, cpu=st.sampled_from(["250m", "1", "1500m"]))
    def deploy(self, app: str, replicas: int, cpu: str) -> None:
        container = {"name": "m", "image": "i:1", "resources": {"requests": {"cpu": cpu, "memory": "256Mi"}}}
        template = {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template}
        self._try(self.cluster.create, "deployments", {"metadata": {"name": app}, "spec": spec}, "default")
        budget = {"minAvailable": MIN_AVAILABLE[app], "selector": {"matchLabels": {"app": app}}}
        self._try(self.cluster.create, "poddisruptionbudgets", {"metadata": {"name": app}, "spec": budget}, "default")

    @rule(app=apps, replicas=numbers)
    def scale(self, app: str, replicas: int) -> None:
        self._try(self.cluster.patch, "deployments", app, {"spec": {"replicas": replicas}}, "merge", "default")

    @rule(app=apps, tag=numbers)
    def roll(self, app: str, tag: int) -> None:
        image = [{"name": "m", "image": f"i:{tag}"}]
        body = {"spec": {"template": {"spec": {"containers": image}}}}
        self._try(self.cluster.patch, "deployments", app, body, "strategic", "default")

    @rule(number=numbers)
    def evict(self, number: int) -> None:
        pods = self.cluster.list("pods", "default")
        if not pods:
            return
        pod = pods[number % len(pods)]
        app = pod["metadata"]["labels"]["app"]
        before, needed = self._healthy(app), self._needed(app)
        counts = pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        name = pod["metadata"]["name"]
        if self._try(eviction.evict, self.cluster.backend, "default", name, {}) and counts and is_true(pod, "Ready"):
            assert before - 1 >= needed, f"evicted {app} at {before} healthy pods of {needed} that must stay"

    @rule(number=numbers)
    def delete_pod(self, number: int) -> None:
        if pods := self.cluster.list("pods", "default"):
            self._try(self.cluster.delete, "pods", pods[number % len(pods)]["metadata"]["name"], "default")

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 60.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def _try(self, verb: Any, *words: Any) -> bool:
        """Whether the API allowed it; then the controllers act, as after every request."""
        try:
            verb(*words)
        except StatusError as error:
            if error.code not in (404, 409, 422, 429):
                raise
            return False
        self.cluster.step()
        return True

    def _healthy(self, app: str) -> int:
        pods = self.cluster.list("pods", "default", f"app={app}")
        return sum("deletionTimestamp" not in pod["metadata"] and is_true(pod, "Ready") for pod in pods)

    def _needed(self, app: str) -> int:
        """Pods that the app's budget wants healthy; a share counts from the Deployment's replicas, rounded up."""
        try:
            self.cluster.get("poddisruptionbudgets", app, "default")
            replicas = self.cluster.get("deployments", app, "default")["spec"]["replicas"]
        except StatusError:
            return 0
        return 2 if app == "a" else -(-replicas // 2)

    @invariant()
    def no_pod_stays_on_a_node_that_is_gone(self) -> None:
        there = {node["metadata"]["name"] for node in self.cluster.list("nodes")}
        for pod in self.cluster.list("pods"):
            name = pod["spec"].get("nodeName")
            assert not name or name in there or self.clock.now() - self.gone_s[name] <= GRACE_S, pod["metadata"]["name"]

    @invariant()
    def no_node_holds_more_than_it_has(self) -> None:
        for node in self.cluster.list("nodes"):
            pods = [pod for pod in self.cluster.list("pods")
                    if pod["spec"].get("nodeName") == node["metadata"]["name"]
                    and pod["status"]["phase"] not in ("Succeeded", "Failed")]  # fmt: skip
            room = node["status"]["allocatable"]
            cpu = sum(quantity(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]) for pod in pods)
            assert cpu <= quantity(room["cpu"])
            assert len(pods) <= quantity(room["pods"])

    @invariant()
    def a_watch_from_the_last_list_tells_what_the_next_list_shows(self) -> None:
        """Every event has a higher resourceVersion than the one before it, and their replay gives the list."""
        for resource in WATCHED:
            state, newest = self.replayed[resource], self.version
            for event in asyncio.run(self._events(resource)):
                obj = event["object"]
                assert int(obj["metadata"]["resourceVersion"]) > newest
                newest = int(obj["metadata"]["resourceVersion"])
                known = _key(obj) in state
                assert event["type"] == ("ADDED" if not known else event["type"] if event["type"] != "ADDED" else "?")
                if event["type"] == "DELETED":
                    del state[_key(obj)]
                else:
                    state[_key(obj)] = obj
            assert [state[key] for key in sorted(state)] == self.cluster.list(resource)
        assert self.cluster.backend.store.version >= self.version
        self.version = self.cluster.backend.store.version

    async def _events(self, resource: str) -> list[Json]:
        kind = self.cluster.kind(resource)
        wanted, options = selection(kind, None, "", ""), WatchOptions(self.version, 0.0)
        shape = Shape({}, lambda entry: reading.encoded(kind, entry))
        lines = watch.stream(self.cluster.backend.store, kind, wanted, options, shape)
        return [json.loads(line) async for line in lines]


def _key(obj: Json) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=40, derandomize=True)
