"""What `kubectl get` shows of each kind: the columns of the real server's printers."""

from __future__ import annotations

from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.printing import cluster, configuration, custom, events, network, pods, workloads
from deployments.local.kubernetes.printing.columns import AGE, NAME, Column

COLUMNS: dict[str, list[Column]] = {
    **cluster.COLUMNS,
    **configuration.COLUMNS,
    **events.COLUMNS,
    **network.COLUMNS,
    **pods.COLUMNS,
    **workloads.COLUMNS,
}


def columns_of(kind: Kind) -> list[Column]:
    """The columns of a kind; name and age where no printer knows it."""
    if kind.custom is not None:
        return custom.columns(kind.custom)
    return COLUMNS.get(kind.storage, [NAME, AGE])
