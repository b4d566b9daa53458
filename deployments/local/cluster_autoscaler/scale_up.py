"""Which pool grows by how many nodes, for pods that no node takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from blocks.fleet import Cluster, NodePool
from deployments.local import nodes
from deployments.local.cluster_autoscaler.view import Used, View, add, fits, of_daemon_set, why_not
from deployments.local.kubernetes.controllers.scheduler import requests
from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.store import Stored
from deployments.local.pool_state import Pool

Json = dict[str, Any]


class Template(NamedTuple):
    """What a new node of a pool would be, and what the pods of DaemonSets take of it."""

    pool: Pool
    group: str
    node: Json
    taken: Used


class Option(NamedTuple):
    """One way to help: so many more nodes of a pool, for these pods."""

    template: Template
    size: int
    pods: list[Stored]

    def waste(self) -> float:
        """Share of the new nodes' CPU and memory that stays free, added up (expander least-waste)."""
        room, total = self.template.node["status"]["allocatable"], 0.0
        for kind in ("cpu", "memory"):
            offered = self.size * float(quantity(room[kind]))
            total += 1 - sum(requests(pod.obj["spec"]).get(kind, 0.0) for pod in self.pods) / offered
        return total


def template_of(cluster: Cluster, described: NodePool, pool: Pool, view: View) -> Template:
    """A new node of the pool; DaemonSet pods are those of its first node that is there."""
    node = nodes.node_object(cluster, described, f"template-node-for-{pool.name}", pool.labels, pool.taints)
    taken: Used = {}
    sample = next((name for name in pool.machines if name in view.pods), "")
    for pod in view.pods.get(sample, ()):
        if of_daemon_set(pod.obj):
            add(taken, pod.obj["spec"])
    return Template(pool, nodes.group_name(cluster, described), node, taken)


def expect(view: View, templates: Iterable[Template], growing: set[str]) -> list[Stored]:
    """Count on the nodes that are on their way; the waiting pods that will still find no node.

    `growing` names pools with a running scale-up: what they lack still counts as coming, until the scale-up fails.
    """
    for template in templates:
        pool = template.pool
        for name, machine in pool.machines.items():
            starts = not machine.ready and machine.dead_s is None and machine.leaving_s is None
            if starts and not (name in view.nodes and nodes.is_ready(view.nodes[name])):
                view.add_node(name, template.node, template.taken)
        for number in range(pool.desired - len(pool.staying()) if pool.name in growing else 0):
            view.add_node(f"placeholder-{pool.name}-{number}", template.node, template.taken)
    return [pod for pod in view.waiting if view.place(pod.obj["spec"], view.nodes) is None]


def estimate(template: Template, pods: list[Stored], most: int) -> Option:
    """How many nodes of a pool take how many of the pods: first fit, largest pod first, at most `most` nodes."""
    rooms: list[Used] = []
    taken: list[Stored] = []
    for pod in sorted(pods, key=lambda one: -_size(one.obj["spec"], template.node)):
        spec = pod.obj["spec"]
        found = next((used for used in rooms if fits(spec, template.node, used)), None)
        if found is None and len(rooms) < most and fits(spec, template.node, template.taken):
            found = dict(template.taken)
            rooms.append(found)
        if found is not None:
            add(found, spec)
            taken.append(pod)
    return Option(template, len(rooms), taken)


def best(options: list[Option]) -> Option | None:
    """The option that wastes least, the first of equals; None where nothing helps."""
    useful = [option for option in options if option.size]
    return min(useful, key=Option.waste, default=None)


def objections(pod: Stored, templates: list[Template], held_off: set[str]) -> str:
    """Why no pool can grow for a pod, as NotTriggerScaleUp tells it."""
    reasons: Counter[str] = Counter()
    for template in templates:
        if not fits(pod.obj["spec"], template.node, template.taken):
            reasons[why_not(pod.obj["spec"], template.node, template.taken)] += 1
        elif template.pool.name in held_off:
            reasons["in backoff after failed scale-up"] += 1
        else:
            reasons["max node group size reached"] += 1
    return "pod didn't trigger scale-up: " + ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))


def _size(spec: Json, node: Json) -> float:
    room, wanted = node["status"]["allocatable"], requests(spec)
    return sum(wanted.get(kind, 0.0) / float(quantity(room[kind])) for kind in ("cpu", "memory"))
