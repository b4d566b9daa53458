"""Read what there is: the nodes behind kubeconfig contexts and the clusters that cloud accounts list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from blocks.cloud_accounts import list_clusters
from blocks.errors import ContinuumError
from blocks.fleet import Provider
from blocks.kubernetes import KubernetesApi, is_hands_off
from blocks.sightings import Context, ListedCluster, SeenCluster, SeenNode, Sighting, Skipped

WORKERS = 16

Progress = Callable[[int], None]  # questions answered so far
Account = tuple[Provider, str, str | None]  # provider, region / project / subscription, endpoint


def observe(
    contexts: Sequence[Context],
    accounts: Sequence[Account],
    *,
    progress: Progress | None = None,
    read: Callable[[Context], SeenCluster] | None = None,
    ask: Callable[[Provider, str, str | None], list[ListedCluster]] = list_clusters,
) -> Sighting:
    """Ask every context and account, `WORKERS` at a time; one that does not answer is named and passed over."""
    look = read or read_cluster
    sighting = Sighting()
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs: dict[Any, str] = {pool.submit(look, each): f"context {each.name}" for each in contexts}
        jobs |= {pool.submit(ask, *each): f"{each[0].value} {each[1]}" for each in accounts}
        try:
            for done, _ in enumerate(as_completed(jobs), 1):
                if progress:
                    progress(done)
        except BaseException:  # Ctrl-C: what has not been asked yet is not asked any more
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for job, source in jobs.items():  # in the order of the questions, so that two runs write the same file
        try:
            found = job.result()
        except ContinuumError as error:
            sighting.skipped.append(Skipped(source, str(error)))
            continue
        if isinstance(found, SeenCluster):
            sighting.seen.append(found)
        else:
            sighting.listed.extend(found)
    return sighting


def read_cluster(context: Context) -> SeenCluster:
    """The nodes of a context's cluster.

    Raises
    ------
    ContinuumError: the context cannot be used or does not answer.
    """
    return SeenCluster(context, tuple(seen_nodes(KubernetesApi.of_context(context).nodes())))


def seen_nodes(objects: Iterable[Mapping[str, Any]]) -> list[SeenNode]:
    """The facts of Node objects."""
    nodes = []
    for node in objects:
        metadata, status = node.get("metadata") or {}, node.get("status") or {}
        allocatable = status.get("allocatable") or {}
        memory = _quantity(allocatable.get("memory"))
        nodes.append(
            SeenNode(
                name=str(metadata.get("name")),
                labels=metadata.get("labels") or {},
                cpu=_quantity(allocatable.get("cpu")),
                memory=int(memory) if memory is not None else None,
                provider_id=(node.get("spec") or {}).get("providerID") or "",
                kubelet=(status.get("nodeInfo") or {}).get("kubeletVersion") or "",
                hands_off=is_hands_off(metadata.get("annotations") or {}),
            )
        )
    return nodes


def _quantity(text: object) -> float | None:
    """A Kubernetes quantity ("3920m", "15076860Ki", "129e6"), or None where there is none above zero."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        value = float(parse_quantity(text))
    except (ValueError, TypeError):
        return None
    return value if value > 0 else None
