"""The ConfigMap `kube-system/cluster-autoscaler-status`, in the form that the autoscaler writes since release 1.30."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from blocks.series import utc
from deployments.local.cluster_autoscaler.state import State
from deployments.local.cluster_autoscaler.view import View
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.trees import epoch_s, timestamp
from deployments.local.nodes import is_ready
from deployments.local.pool_state import Pool

Json = dict[str, Any]

NAMESPACE, NAME = "kube-system", "cluster-autoscaler-status"
UPDATED = "cluster-autoscaler.kubernetes.io/last-updated"
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # written every ten seconds of the fleet's time
STARTUP_S = 900.0  # a node that is not Ready so soon after its creation has not started yet


@dataclass(frozen=True)
class Counts:
    """Nodes by their state; `unregistered` are machines without a Node."""

    ready: int
    not_started: int
    unready: int
    unregistered: int

    @classmethod
    def of(cls, view: View, names: list[str], unregistered: int, now_s: float) -> Counts:
        """Count some nodes of a view."""
        found = [view.nodes[name] for name in names]
        asleep = [node for node in found if not is_ready(node)]
        young = sum(now_s - epoch_s(node["metadata"]["creationTimestamp"]) < STARTUP_S and not _was_ready(node)
                    for node in asleep)  # fmt: skip
        return cls(len(found) - len(asleep), young, len(asleep) - young, unregistered)

    def shown(self) -> Json:
        """As the status tells them."""
        total = self.ready + self.not_started + self.unready
        unready = {"total": self.unready, "resourceUnready": 0}
        registered = {"total": total, "ready": self.ready, "notStarted": self.not_started, "unready": unready}
        return {"registered": registered, "longUnregistered": 0, "unregistered": self.unregistered}


def write(cluster: SimulatedCluster, content: Json, now_s: float) -> None:
    """Put the status into its ConfigMap."""
    time = utc(now_s).strftime("%Y-%m-%d %H:%M:%S.%f000 +0000 UTC")
    told = {"time": time, "autoscalerStatus": "Running", **content}
    text = yaml.dump(told, Dumper=DUMPER, sort_keys=False)
    body = {"metadata": {"name": NAME, "annotations": {UPDATED: time}}, "data": {"status": text}}
    if cluster.backend.store.get("configmaps", NAMESPACE, NAME) is None:
        cluster.create("configmaps", body, NAMESPACE)
    else:
        cluster.patch("configmaps", NAME, body, "merge", NAMESPACE)


def content(view: View, groups: dict[str, Pool], state: State, *, healthy: bool, now_s: float) -> Json:
    """The whole status; `groups` are the autoscaled pools by the cloud's name of their group of machines."""
    lines = _Lines(state, now_s)
    registered = {name for pool in groups.values() for name in pool.machines}
    missing = sum(name not in view.nodes for name in registered)
    counts = Counts.of(view, [name for name in view.nodes if name in view.pods], missing, now_s)
    return {
        "clusterWide": {
            "health": lines.line("health", "Healthy" if healthy else "Unhealthy", nodeCounts=counts.shown()),
            "scaleUp": lines.line("scaleUp", "InProgress" if state.growing else "NoActivity"),
            "scaleDown": lines.scale_down("scaleDown", len(state.unneeded)),
        },
        "nodeGroups": [_group(view, name, pool, lines) for name, pool in groups.items()],
    }


def _group(view: View, name: str, pool: Pool, lines: _Lines) -> Json:
    there = [machine for machine in pool.machines if machine in view.nodes]
    counts = Counts.of(view, there, len(pool.machines) - len(there), lines.now_s)
    sizes = {"cloudProviderTarget": pool.desired, "minSize": pool.min_nodes, "maxSize": pool.max_nodes}
    backoff = lines.state.held_off(pool.name, lines.now_s)
    told: Json = {}
    word = "InProgress" if pool.name in lines.state.growing.values() else "NoActivity"
    if backoff is not None:
        word, told = "Backoff", {"backoffInfo": {"errorCode": backoff.code, "errorMessage": backoff.message}}
    candidates = sum(machine in lines.state.unneeded for machine in pool.machines)
    return {
        "name": name,
        "health": lines.line(f"{name}/health", "Healthy", nodeCounts=counts.shown(), **sizes),
        "scaleUp": lines.line(f"{name}/scaleUp", word, **told),
        "scaleDown": lines.scale_down(f"{name}/scaleDown", candidates),
    }


class _Lines:
    """Lines of the status; each knows when its word last changed."""

    def __init__(self, state: State, now_s: float) -> None:
        self.state, self.now_s = state, now_s

    def line(self, key: str, word: str, **more: Any) -> Json:
        old = self.state.statuses.get(key)
        if old is None or old[0] != word:
            self.state.statuses[key] = (word, self.now_s)
        times = {"lastProbeTime": timestamp(self.now_s), "lastTransitionTime": timestamp(self.state.statuses[key][1])}
        return {"status": word, **more, **times}

    def scale_down(self, key: str, candidates: int) -> Json:
        more = {"candidates": candidates} if candidates else {}
        return self.line(key, "CandidatesPresent" if candidates else "NoCandidates", **more)


def _was_ready(node: Json) -> bool:
    """Whether a node that is not Ready has been: its Ready condition changed some time after it registered."""
    created = node["metadata"]["creationTimestamp"]
    return any(entry["type"] == "Ready" and entry.get("lastTransitionTime", created) > created
               for entry in node["status"].get("conditions", ()))  # fmt: skip
