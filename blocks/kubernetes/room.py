"""GPUs and storage: what the nodes of a pool offer, and what the pods on them request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from blocks.fleet import Provider
from blocks.kubernetes.connection import Object
from blocks.kubernetes.nodes import POOL_LABEL
from blocks.kubernetes.pod_requests import GPU_END, STORAGE, pod_requests


@dataclass(frozen=True)
class PoolRoom:
    """GPUs and bytes of storage of one pool; None where the cluster does not tell.

    Attributes
    ----------
    gpus, storage_bytes: of one node, the mean over the pool's nodes.
    gpus_requested, storage_bytes_requested: by all pods on the pool's nodes together.
    """

    gpus: float | None = None
    storage_bytes: float | None = None
    gpus_requested: float | None = None
    storage_bytes_requested: float | None = None


def room_by_pool(nodes: Iterable[Object], pods: Iterable[Object] | None, provider: Provider) -> dict[str, PoolRoom]:
    """Room of each pool by the provider's label.

    A node that does not name a resource says nothing of it: its plug-in may not run. `pods` None: they cannot be read.

    >>> node = {"metadata": {"name": "n", "labels": {"continuum.io/node-pool": "edge"}},
    ...         "status": {"allocatable": {"cpu": "8", "nvidia.com/gpu": "2"}}}
    >>> room_by_pool([node], [], Provider.K3S)["edge"]
    PoolRoom(gpus=2.0, storage_bytes=None, gpus_requested=0.0, storage_bytes_requested=0.0)
    """
    pool_of: dict[str, str] = {}
    offers: dict[str, list[tuple[float | None, float | None]]] = {}
    for node in nodes:
        pool = (node["metadata"].get("labels") or {}).get(POOL_LABEL[provider])
        if pool is not None:
            pool_of[node["metadata"]["name"]] = pool
            allocatable = (node.get("status") or {}).get("allocatable") or {}
            offers.setdefault(pool, []).append((_gpus(allocatable), _amount(allocatable.get(STORAGE))))
    asked = dict.fromkeys(offers, (None, None)) if pods is None else _requested(pods, pool_of)
    return {
        pool: PoolRoom(_mean(gpus for gpus, _ in found), _mean(storage for _, storage in found), *asked[pool])
        for pool, found in offers.items()
    }


def _requested(pods: Iterable[Object], pool_of: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """GPUs and storage bytes that the pods of each pool request; pods that have ended hold nothing."""
    asked = dict.fromkeys(pool_of.values(), (0.0, 0.0))
    for pod in pods:
        spec, phase = pod.get("spec") or {}, (pod.get("status") or {}).get("phase")
        pool = pool_of.get(spec.get("nodeName") or "")
        if pool is None or phase in ("Succeeded", "Failed"):
            continue
        found = pod_requests(pod)
        asked[pool] = (asked[pool][0] + found.gpus, asked[pool][1] + found.storage_bytes)
    return asked


def _gpus(quantities: Mapping[str, object]) -> float | None:
    known = [_amount(value) for name, value in quantities.items() if name.endswith(GPU_END)]
    return sum(value for value in known if value is not None) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    """Of a pool's nodes; None where one of them does not tell."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def _amount(text: object) -> float | None:
    """A Kubernetes quantity; None where there is none."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        return float(parse_quantity(text))
    except (ValueError, TypeError):
        return None
