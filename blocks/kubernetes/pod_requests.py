"""What pods request: of one pod, and of each node pool with the pods that wait for it. Pure; works on API objects."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from blocks.fleet import Provider
from blocks.kubernetes.budgets import covers, holds, never_met, stuck
from blocks.kubernetes.connection import Object
from blocks.kubernetes.nodes import KARPENTER_LABEL, POOL_LABEL, must_leave, why_not_evict

STORAGE = "ephemeral-storage"
GPU_END = "/gpu"  # nvidia.com/gpu, amd.com/gpu: whole devices, as their plug-ins name them
# Taints by which a node tells that its cloud takes it back, as the usual handlers set them.
INTERRUPTIONS = (
    "aws-node-termination-handler/spot-itn",
    "cloud.google.com/impending-node-termination",
    "kubernetes.azure.com/scalesetpriority-eviction",
    "node.cloudprovider.kubernetes.io/shutdown",
)


class Requests(NamedTuple):
    """Cores, bytes, whole GPUs and bytes of ephemeral storage."""

    cpu_cores: float = 0.0
    memory_bytes: float = 0.0
    gpus: float = 0.0
    storage_bytes: float = 0.0

    def plus(self, other: Requests) -> Requests:
        """The sum of both."""
        return Requests(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass(frozen=True)
class PoolPods:
    """The pods of one node pool.

    Attributes
    ----------
    requested: by the pods on its nodes and those that wait for one, and how many they are; what DaemonSets take of
        every node is put on top in proportion. Pods of negative priority are spare room, and count nothing.
    pending: pods that the scheduler finds no node for, and that this pool's nodes would admit.
    removable: nodes without a pod that can never be moved (a disruption budget that allows none by arithmetic, no
        controller, a mark that forbids it).
    interrupted: nodes that their cloud takes back.
    node_gpus, node_pods: allocatable of one node, the mean; None where a node does not tell.
    stuck: whether a disruption budget that can never be met holds some of the nodes.
    """

    requested: Requests
    pods: int
    pending: int
    removable: int
    interrupted: int
    node_gpus: float | None
    node_pods: float | None
    stuck: bool = False


NO_PODS = PoolPods(Requests(), 0, 0, 0, 0, None, None)


def pods_by_pool(
    nodes: Iterable[Object], pods: Iterable[Object], budgets: Sequence[Object], provider: Provider
) -> dict[str, PoolPods]:
    """The pods of each pool that has a node, by the provider's label or Karpenter's.

    A pod that waits counts for the first pool by name whose nodes would admit it: by node selector, required node
    affinity (`In`, `NotIn`, `Exists`, `DoesNotExist`) and taints.
    """
    of_pool: dict[str, list[Object]] = {}
    for node in nodes:
        labels = node["metadata"].get("labels") or {}
        if pool := labels.get(POOL_LABEL[provider]) or labels.get(KARPENTER_LABEL):
            of_pool.setdefault(pool, []).append(node)
    pool_of = {node["metadata"]["name"]: pool for pool, members in of_pool.items() for node in members}
    on: dict[str, list[Object]] = {pool: [] for pool in of_pool}
    waiting: dict[str, list[Object]] = {pool: [] for pool in of_pool}
    for pod in pods:
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or _priority(pod) < 0:
            continue
        if (name := (pod.get("spec") or {}).get("nodeName")) in pool_of:
            on[pool_of[str(name)]].append(pod)
        elif not name and _unschedulable(pod):
            home = next((pool for pool in sorted(of_pool) if admits(of_pool[pool][0], pod)), None)
            if home is not None:
                waiting[home].append(pod)
    unmet = [budget for budget in budgets if never_met(budget)]
    return {pool: _of_one(of_pool[pool], on[pool], waiting[pool], unmet) for pool in of_pool}


def _of_one(nodes: Sequence[Object], on: Sequence[Object], waiting: Sequence[Object], unmet: Sequence[Object]
            ) -> PoolPods:  # fmt: skip
    moving = [pod for pod in on if must_leave(pod)]
    daemons = functools.reduce(Requests.plus, (pod_requests(pod) for pod in on if not must_leave(pod)), Requests())
    asked = functools.reduce(Requests.plus, map(pod_requests, [*moving, *waiting]), Requests())
    sizes = [_allocatable(node) for node in nodes]
    offered = functools.reduce(Requests.plus, sizes, Requests())
    # What DaemonSets take of every node is not there for others: the rest is asked of a smaller node.
    shares = [taken / size if size > 0 else 0.0 for taken, size in zip(daemons, offered, strict=True)]
    scaled = Requests(*(each / (1 - min(share, 0.9)) for each, share in zip(asked, shares, strict=True)))
    held = {
        str(pod["spec"]["nodeName"])
        for pod in moving
        if why_not_evict(pod) or any(covers(budget, pod) for budget in unmet)
    }
    pods = [_amount((((node.get("status") or {}).get("allocatable")) or {}).get("pods")) for node in nodes]
    each_node = (len(on) - len(moving)) / len(nodes)
    known = all(count is not None for count in pods)
    return PoolPods(
        requested=scaled,
        pods=len(moving) + len(waiting),
        pending=len(waiting),
        removable=len(nodes) - len(held),
        interrupted=sum(
            any(taint.get("key") in INTERRUPTIONS for taint in (node.get("spec") or {}).get("taints") or ())
            for node in nodes
        ),
        node_gpus=offered.gpus / len(nodes) or None,
        node_pods=max(sum(filter(None, pods)) / len(nodes) - each_node, 1.0) if known else None,
        stuck=stuck(unmet, moving) is not None,
    )


def pod_requests(pod: Object) -> Requests:
    """What the scheduler counts for a pod: its containers together, or its largest init container; and its overhead."""
    spec = pod.get("spec") or {}
    usual, first = ([_of_container(each) for each in spec.get(group) or ()]
                    for group in ("containers", "initContainers"))  # fmt: skip
    together = functools.reduce(Requests.plus, usual, Requests())
    largest = Requests(*(max([mine, *(one[at] for one in first)]) for at, mine in enumerate(together)))
    return largest.plus(_quantities(spec.get("overhead") or {}))


def admits(node: Object, pod: Object) -> bool:
    """Whether a node's labels and taints let the pod on it, room aside.

    >>> admits({"metadata": {"labels": {"disk": "ssd"}}}, {"spec": {"nodeSelector": {"disk": "hdd"}}})
    False
    """
    spec, labels = pod.get("spec") or {}, node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    wanted = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = (wanted or {}).get("nodeSelectorTerms") or []
    if terms and not any(all(holds(rule, labels) for rule in term.get("matchExpressions") or ()) for term in terms):
        return False
    taints = (node.get("spec") or {}).get("taints") or ()
    hard = [taint for taint in taints if taint.get("effect") in ("NoSchedule", "NoExecute")]
    return all(any(_tolerates(each, taint) for each in spec.get("tolerations") or ()) for taint in hard)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return (toleration.get("key"), toleration.get("value") or "") == (taint.get("key"), taint.get("value") or "")


def _unschedulable(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(
        (each.get("type"), each.get("status"), each.get("reason")) == ("PodScheduled", "False", "Unschedulable")
        for each in conditions
    )


def _priority(pod: Object) -> int:
    return int((pod.get("spec") or {}).get("priority") or 0)


def _of_container(container: Object) -> Requests:
    return _quantities((container.get("resources") or {}).get("requests") or {})


def _allocatable(node: Object) -> Requests:
    return _quantities((node.get("status") or {}).get("allocatable") or {})


def _quantities(named: Mapping[str, object]) -> Requests:
    gpus = sum(_amount(value) or 0.0 for name, value in named.items() if name.endswith(GPU_END))
    cpu, memory, storage = (_amount(named.get(name)) or 0.0 for name in ("cpu", "memory", STORAGE))
    return Requests(cpu, memory, gpus, storage)


def _amount(text: object) -> float | None:
    return None if text is None else _parsed(str(text))


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> float | None:
    """A Kubernetes quantity as a number; None where it is none."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        return float(parse_quantity(text))
    except (ValueError, TypeError):
        return None
