"""Managed node groups of Amazon EKS through boto3."""

from __future__ import annotations

from typing import Any, Literal, Self

from blocks.aws import aws_client, aws_errors
from blocks.errors import CloudRefused, Conflict, ContinuumError, NotFound, Throttled, Unauthorized
from blocks.fleet import Cluster
from blocks.node_pools import Operation, PoolState
from blocks.node_pools.guards import Inventory, Waiter, clamp, version_of

FIXES: dict[type[ContinuumError], str] = {
    CloudRefused: "lower the request, or raise the limit that the message names",
    Conflict: "wait until the running update ends, then decide anew",
    NotFound: "check the cluster's and the pool's name and region",
    Throttled: "ask less often",
    Unauthorized: "grant eks:*Nodegroup* and eks:*Update* to this role, or renew its credentials",
}
BUSY = ("CREATING", "UPDATING", "DELETING")
STATES: dict[str, Literal["running", "done", "failed"]] = {
    "InProgress": "running",
    "Successful": "done",
    "Failed": "failed",
    "Cancelled": "failed",
}


class EksNodePools:
    """`NodePools` of one EKS cluster. EKS has no precondition on a write, so `if_match` is compared just before it."""

    def __init__(self, cluster: Cluster, client: Any, waiter: Waiter | None = None) -> None:
        self._inventory, self._client, self._waiter = Inventory.of(cluster), client, waiter or Waiter()
        self._cluster = cluster.cloud.cluster or cluster.name

    @classmethod
    def connect(cls, cluster: Cluster) -> Self:
        """By the SDK's own credential chain, profile and assumed role; with stand-in keys over plain http."""
        with aws_errors(f"cluster {cluster.name}", FIXES):
            return cls(cluster, aws_client("eks", cluster.cloud, f"cluster {cluster.name}"))

    def list(self) -> list[PoolState]:
        """All node groups, by name; one list call and one describe each."""
        with aws_errors(f"cluster {self._inventory.cluster}", FIXES):
            pages = self._client.get_paginator("list_nodegroups").paginate(clusterName=self._cluster)
            names = sorted(name for page in pages for name in page["nodegroups"])
        return [self.describe(name) for name in names]

    def describe(self, pool: str) -> PoolState:
        """One node group."""
        with aws_errors(self._inventory.where(pool), FIXES):
            group = self._client.describe_nodegroup(clusterName=self._cluster, nodegroupName=pool)["nodegroup"]
            busy = self._running_update(pool) if group["status"] in BUSY else None
            sizes = group["scalingConfig"]
            low, high, desired = sizes["minSize"], sizes["maxSize"], sizes["desiredSize"]
        marks = self._inventory.marks(pool, group.get("tags"), group.get("labels"))
        return PoolState(
            name=pool,
            min_nodes=low,
            max_nodes=high,
            desired=desired,
            ready=None,
            version=version_of(low, high, desired, sorted(marks.items())),
            busy_operation=busy,
            autoscaled=self._inventory.autoscaled(pool) or _tagged(group.get("tags")),
            movable_bounds=True,
            trouble=_trouble(group),
            **marks,
        )

    def set_bounds(self, pool: str, min_nodes: int, max_nodes: int, if_match: str | None = None) -> Operation:
        """Move minSize and maxSize; desiredSize is sent only where they force it, since an autoscaler may own it."""
        state = self.describe(pool)
        self._inventory.check(state, if_match=if_match)
        self._inventory.check_bounds(pool, min_nodes, max_nodes)
        if (min_nodes, max_nodes) == (state.min_nodes, state.max_nodes):
            return Operation("", pool, "done")
        sizes = {"minSize": min_nodes, "maxSize": max_nodes}
        forced = clamp(state.desired, min_nodes, max_nodes)
        return self._update(pool, sizes if forced == state.desired else {**sizes, "desiredSize": forced}, None)

    def set_desired(self, pool: str, desired: int, if_match: str | None = None, token: str | None = None) -> Operation:
        """Move desiredSize alone."""
        state = self.describe(pool)
        self._inventory.check(state, if_match=if_match)
        self._inventory.check_desired(state, desired)
        if desired == state.desired:
            return Operation("", pool, "done")
        return self._update(pool, {"desiredSize": desired}, token)

    def operation(self, op: Operation) -> Operation:
        """The update as it stands."""
        if not op.id:
            return op
        with aws_errors(self._inventory.where(op.pool), FIXES):
            answer = self._client.describe_update(name=self._cluster, nodegroupName=op.pool, updateId=op.id)
        return _operation(op.pool, answer["update"])

    def wait(self, op: Operation, timeout_s: float) -> Operation:
        """See `NodePools.wait`."""
        return self._waiter.wait(op, self.operation, timeout_s, where=self._inventory.where(op.pool))

    def _update(self, pool: str, sizes: dict[str, int], token: str | None) -> Operation:
        asked: dict[str, Any] = {"clusterName": self._cluster, "nodegroupName": pool, "scalingConfig": sizes}
        if token:
            asked["clientRequestToken"] = token
        with aws_errors(self._inventory.where(pool), FIXES):
            return _operation(pool, self._client.update_nodegroup_config(**asked)["update"])

    def _running_update(self, pool: str) -> str:
        """Id of the update in progress; a word where the group is being made or taken away without one."""
        pages = self._client.get_paginator("list_updates").paginate(name=self._cluster, nodegroupName=pool)
        for update_id in (update_id for page in pages for update_id in page["updateIds"]):
            asked = {"name": self._cluster, "nodegroupName": pool, "updateId": update_id}
            if self._client.describe_update(**asked)["update"]["status"] == "InProgress":
                return str(update_id)
        return "unknown"


def _trouble(group: dict[str, Any]) -> str | None:
    """What the group's health tells: an update is Successful long before EC2 refuses its machines."""
    issues = (group.get("health") or {}).get("issues") or ()
    return "; ".join(f"{issue.get('code')}: {issue.get('message')}" for issue in issues) or None


def _tagged(tags: dict[str, str] | None) -> bool:
    """Whether the group carries the tag by which a cluster-autoscaler finds the groups that it may size."""
    return str((tags or {}).get("k8s.io/cluster-autoscaler/enabled")).lower() == "true"


def _operation(pool: str, update: dict[str, Any]) -> Operation:
    state = STATES.get(update["status"], "running")
    errors = [f"{error.get('errorCode')}: {error.get('errorMessage')}" for error in update.get("errors") or ()]
    error = "; ".join(errors) or update["status"] if state == "failed" else None
    return Operation(update["id"], pool, state, error)
