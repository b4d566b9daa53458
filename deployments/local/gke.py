"""The GKE API of the simulated fleet, container v1 over REST as google-cloud-container speaks it.

As on GKE, one operation runs per cluster, a pool shows bounds only while its autoscaler is on, and the size that a pool
is to have is the `targetSize` of its instance group.
"""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from blocks.errors import CloudRefused, Conflict, ContinuumError, InvalidInput, NotFound, Throttled, Unauthorized
from blocks.fleet import Cluster, NodePool, Provider
from blocks.series import utc
from deployments.local.node_pools import NodePools
from deployments.local.nodes import HANDS_OFF, group_name
from deployments.local.pool_state import Operation, Pool
from deployments.local.rest import Call, Json, Row, api, said
from deployments.local.throttling import Rate, Rates, Throttle


class EtagMismatch(Conflict):
    """The etag in the body is not the present one."""


# errors of ours, HTTP status, google.rpc code; the first that fits
ERRORS: tuple[tuple[type[ContinuumError], int, str], ...] = (
    (NotFound, 404, "NOT_FOUND"),
    (EtagMismatch, 409, "ABORTED"),
    (Conflict, 400, "FAILED_PRECONDITION"),
    (CloudRefused, 400, "INVALID_ARGUMENT"),
    (InvalidInput, 400, "INVALID_ARGUMENT"),
    (Throttled, 429, "RESOURCE_EXHAUSTED"),
    (Unauthorized, 401, "UNAUTHENTICATED"),
    (ContinuumError, 500, "INTERNAL"),
)
RESOURCE_EXHAUSTED = 8  # google.rpc.Code of an operation that found no machines
EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}
TYPES = {"set_desired": "SET_NODE_POOL_SIZE", "set_marks": "UPDATE_NODES"}
RATES = Rates(reads=Rate(50, 3000), writes=Rate(10, 600))  # per-minute quotas of a project; general knowledge


def app(pools: NodePools) -> Starlette:
    """The API, to be mounted at the path that `api_endpoint` ends in."""
    gke = _Gke(pools)
    place = "/v1/projects/{project}/locations/{location}"
    cluster = place + "/clusters/{cluster}"
    pool = cluster + "/nodePools/{pool}"
    rows = [
        Row(f"{place}/clusters", gke.list_clusters),
        Row(cluster, gke.get_cluster),
        Row(f"{cluster}/nodePools", gke.list_node_pools),
        Row(f"{pool}:setSize", gke.set_size, "POST"),
        Row(f"{pool}:setAutoscaling", gke.set_autoscaling, "POST"),
        Row(pool, gke.get_node_pool),
        Row(pool, gke.update_node_pool, "PUT"),
        Row("/compute/v1/projects/{project}/zones/{location}/instanceGroupManagers/{group}", gke.get_instance_group),
        Row(f"{place}/operations", gke.list_operations),
        Row(f"{place}/operations/{{operation}}", gke.get_operation),
    ]
    return api(rows, _refusal, Throttle(pools.clock, RATES), lambda call: str(call.path["project"]))


class _Gke:
    def __init__(self, pools: NodePools) -> None:
        self.pools = pools

    def list_clusters(self, call: Call) -> Json:
        return {"clusters": [self._shown(cluster, call) for cluster in self._clusters(call)]}

    def get_cluster(self, call: Call) -> Json:
        return self._shown(self._cluster(call), call)

    def list_node_pools(self, call: Call) -> Json:
        cluster = self._cluster(call)
        return {"nodePools": [self._pool_shown(cluster, pool.name, call) for pool in cluster.node_pools]}

    def get_node_pool(self, call: Call) -> Json:
        cluster = self._cluster(call)
        return self._pool_shown(cluster, self.pools.pool(cluster.name, call.path["pool"]).name, call)

    def get_instance_group(self, call: Call) -> Json:
        """Of the Compute API: where a client learns how many machines a pool is to have."""
        for cluster in self._clusters(call):
            for pool in cluster.node_pools:
                if _group_path(cluster, pool).endswith(f"/{call.path['group']}"):
                    size = self.pools.pool(cluster.name, pool.name).desired
                    return {"name": call.path["group"], "targetSize": size}
        raise NotFound(f"no instance group {call.path['group']}", where=call.path["location"])

    def set_size(self, call: Call) -> Json:
        cluster = self._cluster(call)
        count = call.whole_number(call.body.get("nodeCount", 0), "nodeCount")  # proto3 JSON leaves a 0 out
        return self._operation(self.pools.update(cluster.name, call.path["pool"], {"desired": count}), call)

    def set_autoscaling(self, call: Call) -> Json:
        cluster, asked = self._cluster(call), call.body.get("autoscaling") or {}
        pool = self.pools.pool(cluster.name, call.path["pool"])
        changes: dict[str, int | bool] = {"autoscaled": bool(asked.get("enabled", False))}
        if changes["autoscaled"]:
            changes["min_nodes"] = call.whole_number(asked.get("minNodeCount", 0), "minNodeCount")
            changes["max_nodes"] = call.whole_number(asked.get("maxNodeCount"), "maxNodeCount")
        return self._operation(self.pools.update(cluster.name, pool.name, changes), call)

    def update_node_pool(self, call: Call) -> Json:
        """Labels and taints of a pool; an `etag` in the body guards against another writer."""
        cluster = self._cluster(call)
        pool = self.pools.pool(cluster.name, call.path["pool"])
        call.only("name", "etag", "labels", "taints")
        if call.body.get("etag", pool.etag) != pool.etag:
            raise EtagMismatch("the etag is not the node pool's present one", where=f"pool {pool.id}")
        changes: dict[str, Any] = {}
        if "labels" in call.body:
            changes["labels"] = call.section("labels").get("labels", {})
        if "taints" in call.body:
            changes["taints"] = [_taint(pool, taint) for taint in call.section("taints").get("taints", ())]
        if not changes:
            raise CloudRefused("Must specify a field to update.", where=f"pool {pool.id}")
        return self._operation(self.pools.update(cluster.name, pool.name, changes), call)

    def list_operations(self, call: Call) -> Json:
        found = (o for cluster in self._clusters(call) for o in self.pools.asked_for(cluster.name))
        return {"operations": [self._operation(operation, call) for operation in found]}

    def get_operation(self, call: Call) -> Json:
        prefix = "operation-"
        name = call.path["operation"]
        operation = self.pools.operation(name[len(prefix) :] if name.startswith(prefix) else name)
        if operation.cluster not in {cluster.name for cluster in self._clusters(call)}:
            raise NotFound(f"no operation {name}", where=call.path["location"])
        return self._operation(operation, call)

    def _clusters(self, call: Call) -> list[Cluster]:
        found = [c for c in self.pools.of(Provider.GKE) if c.cloud.project == call.path["project"]]
        return [cluster for cluster in found if call.path["location"] in ("-", cluster.cloud.region)]

    def _cluster(self, call: Call) -> Cluster:
        for cluster in self._clusters(call):
            if call.path["cluster"] in (cluster.name, cluster.cloud.cluster):
                return cluster
        raise NotFound(f"no cluster {call.path['cluster']}", where=f"{call.path['project']}/{call.path['location']}")

    def _shown(self, cluster: Cluster, call: Call) -> Json:
        busy = self.pools.running(cluster.name)
        shown = [self._pool_shown(cluster, pool.name, call) for pool in cluster.node_pools]
        return {
            "name": cluster.name,
            "location": cluster.cloud.region,
            "locations": [cluster.cloud.region],
            "status": "RECONCILING" if busy else "RUNNING",
            "endpoint": f"{call.origin}/clusters/{cluster.name}",
            "currentMasterVersion": "1.36.0-gke.1000000",
            "currentNodeCount": sum(pool["initialNodeCount"] for pool in shown),
            "nodePools": shown,
            "resourceLabels": {"simulated": "true"},
            "selfLink": self._link(cluster, call),
        }

    def _pool_shown(self, cluster: Cluster, name: str, call: Call) -> Json:
        pool = self.pools.pool(cluster.name, name)
        described = self.pools.described(pool)
        bounds = {"enabled": True, "minNodeCount": pool.min_nodes, "maxNodeCount": pool.max_nodes}
        return {
            "name": name,
            "config": {
                "machineType": described.instance_type,
                "labels": ({HANDS_OFF: "true"} if described.hands_off else {}) | pool.labels,
                "taints": [{**taint, "effect": _effect_name(taint["effect"])} for taint in pool.taints],
            },
            "initialNodeCount": pool.desired,
            "locations": [cluster.cloud.region],
            "autoscaling": bounds if pool.autoscaled else {},
            "status": "RECONCILING" if self.pools.running(cluster.name, name) else "RUNNING",
            "etag": pool.etag,
            "instanceGroupUrls": [f"{call.base}{_group_path(cluster, described)}"],
            "selfLink": f"{self._link(cluster, call)}/nodePools/{name}",
        }

    def _operation(self, operation: Operation, call: Call) -> Json:
        cluster = self.pools.cluster(Provider.GKE, operation.cluster)
        place = f"{call.base}/v1/projects/{cluster.cloud.project}/locations/{cluster.cloud.region}"
        shown: Json = {
            "name": f"operation-{operation.id}",
            "operationType": TYPES.get(operation.kind, "UPDATE_CLUSTER"),
            "status": "RUNNING" if operation.state == "running" else "DONE",
            "location": cluster.cloud.region,
            "startTime": _time(operation.accepted_s),
            "selfLink": f"{place}/operations/operation-{operation.id}",
            "targetLink": f"{self._link(cluster, call)}/nodePools/{operation.pool}",
        }
        if operation.finished_s is not None:
            shown["endTime"] = _time(operation.finished_s)
        if operation.error:
            shown |= {
                "statusMessage": operation.error,
                "error": {"code": RESOURCE_EXHAUSTED, "message": operation.error},
            }
        return shown

    def _link(self, cluster: Cluster, call: Call) -> str:
        place = f"projects/{cluster.cloud.project}/locations/{cluster.cloud.region}"
        return f"{call.base}/v1/{place}/clusters/{cluster.name}"


def _group_path(cluster: Cluster, pool: NodePool) -> str:
    place = f"projects/{cluster.cloud.project}/zones/{cluster.cloud.region}"
    return f"/compute/v1/{place}/instanceGroupManagers/{group_name(cluster, pool)}"


def _effect_name(effect: str) -> str:
    return next(name for name, known in EFFECTS.items() if known == effect)


def _taint(pool: Pool, asked: Json) -> dict[str, str]:
    if asked.get("effect") not in EFFECTS or not asked.get("key"):
        raise CloudRefused(f"taint effect {asked.get('effect')} is not valid", where=f"pool {pool.id}")
    return {"key": asked["key"], "value": asked.get("value", ""), "effect": EFFECTS[asked["effect"]]}


def _time(seconds: float) -> str:
    return utc(seconds).isoformat().replace("+00:00", "Z")


def _refusal(error: ContinuumError) -> Response:
    status, code = next((status, code) for kind, status, code in ERRORS if isinstance(error, kind))
    if isinstance(error, Throttled):
        return JSONResponse({"error": _too_many(error, status, code)}, status)
    busy = isinstance(error, Conflict) and not isinstance(error, EtagMismatch)
    words = f"Cluster is running incompatible operation. {error}" if busy else said(error)
    return JSONResponse({"error": {"code": status, "message": words, "status": code}}, status)


def _too_many(error: Throttled, status: int, code: str) -> Json:
    """Google's words of a spent per-minute quota, with the reason where its clients look for it."""
    verbs = f"{error.what.capitalize()} requests"
    words = f"Quota exceeded for quota metric '{verbs}' and limit '{verbs} per minute' of service "
    words += f"'container.googleapis.com' for consumer 'project_number:{error.where}'."
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED",
            "domain": "googleapis.com", "metadata": {"service": "container.googleapis.com"}}  # fmt: skip
    reasons = [{"message": words, "domain": "usageLimits", "reason": "rateLimitExceeded"}]
    return {"code": status, "message": words, "status": code, "errors": reasons, "details": [info]}
