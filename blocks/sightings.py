"""What discovery sees of a fleet, as plain values: kubeconfig contexts, Node objects, clouds' lists. No I/O in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from blocks.fleet import CloudAccess, Provider


def address(server: str) -> str:
    """Host, port and path of an API server, whichever way it is written; empty where it is no address.

    The path counts, because one proxy may lead to many clusters.

    >>> address("https://ABC.eks.amazonaws.com:443/"), address("10.0.0.1"), address("http://127.0.0.1:81/clusters/a")
    ('abc.eks.amazonaws.com', '10.0.0.1', '127.0.0.1:81/clusters/a')
    """
    try:
        parts = urlsplit(server if "://" in server else f"https://{server}")
        port = "" if parts.port in (None, 443) else f":{parts.port}"
    except ValueError:
        return ""
    return f"{parts.hostname}{port}{parts.path.rstrip('/')}" if parts.hostname else ""


@dataclass(frozen=True)
class Context:
    """One kubeconfig context: its name, its cluster's entry and server, and the plug-in that fetches its credentials.

    `document` is a kubeconfig with this context alone; it may hold secrets, so it is not shown.
    """

    name: str
    cluster: str
    server: str
    plugin_args: tuple[str, ...] = ()
    plugin_env: tuple[tuple[str, str], ...] = ()
    document: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def address(self) -> str:
        """The API server's address, the same in every view of one cluster."""
        return address(self.server)


@dataclass(frozen=True)
class SeenNode:
    """A Node object's facts: allocatable CPU (cores) and memory (bytes), None where it tells none or nonsense."""

    name: str
    labels: Mapping[str, str]
    cpu: float | None
    memory: int | None
    provider_id: str = ""
    kubelet: str = ""
    hands_off: bool = False


@dataclass(frozen=True)
class SeenCluster:
    """A context that answered, and its nodes."""

    context: Context
    nodes: tuple[SeenNode, ...]


@dataclass(frozen=True)
class ListedPool:
    """A node pool as its cloud lists it.

    Attributes
    ----------
    nodes: nodes asked for at present; None where the listing does not tell.
    min_nodes, max_nodes: the cloud's own bounds, None where it keeps none (no autoscaling).
    autoscaled: the cloud's or the cluster's autoscaler sets the size.
    """

    name: str
    instance_type: str
    nodes: int | None
    min_nodes: int | None
    max_nodes: int | None
    autoscaled: bool


@dataclass(frozen=True)
class ListedCluster:
    """A cluster as its cloud lists it, with the addresses of its API server."""

    provider: Provider
    name: str
    addresses: frozenset[str]
    cloud: CloudAccess
    pools: tuple[ListedPool, ...]


@dataclass(frozen=True)
class Skipped:
    """A source that did not answer, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Sighting:
    """All that was seen, in the order it was asked for, and what was passed over."""

    seen: list[SeenCluster] = field(default_factory=list)
    listed: list[ListedCluster] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
