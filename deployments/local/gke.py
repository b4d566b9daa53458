"""The GKE API of the simulated fleet, container v1 over REST as google-cloud-container speaks it.

As on GKE, one operation runs per cluster, a pool shows bounds only while its autoscaler is on, and the size that a pool
is to have is the `targetSize` of its instance group.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from blocks.errors import CloudRefused, Conflict, ContinuumError, InvalidInput, NotFound, Unauthorized
from blocks.fleet import Cluster, Provider
from blocks.series import utc
from deployments.local.node_pools import NodePools
from deployments.local.nodes import HANDS_OFF
from deployments.local.pool_state import Operation
from deployments.local.rest import Call, Json, api, route

# errors of ours, HTTP status, google.rpc code; the first that fits
ERRORS: tuple[tuple[type[ContinuumError], int, str], ...] = (
    (NotFound, 404, "NOT_FOUND"),
    (Conflict, 400, "FAILED_PRECONDITION"),
    (CloudRefused, 400, "INVALID_ARGUMENT"),
    (InvalidInput, 400, "INVALID_ARGUMENT"),
    (Unauthorized, 401, "UNAUTHENTICATED"),
    (ContinuumError, 500, "INTERNAL"),
)
RESOURCE_EXHAUSTED = 8  # google.rpc.Code of an operation that found no machines


def app(pools: NodePools) -> Starlette:
    """The API, to be mounted at the path that `api_endpoint` ends in."""
    gke = _Gke(pools)
    place = "/v1/projects/{project}/locations/{location}"
    cluster = place + "/clusters/{cluster}"
    pool = cluster + "/nodePools/{pool}"
    routes = [
        route(f"{place}/clusters", gke.list_clusters),
        route(cluster, gke.get_cluster),
        route(f"{cluster}/nodePools", gke.list_node_pools),
        route(f"{pool}:setSize", gke.set_size, "POST"),
        route(f"{pool}:setAutoscaling", gke.set_autoscaling, "POST"),
        route(pool, gke.get_node_pool),
        route("/compute/v1/projects/{project}/zones/{location}/instanceGroupManagers/{group}", gke.get_instance_group),
        route(f"{place}/operations", gke.list_operations),
        route(f"{place}/operations/{{operation}}", gke.get_operation),
    ]
    return api(routes, _refusal)


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
                if _group_path(cluster, pool.name).endswith(f"/{call.path['group']}"):
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

    def list_operations(self, call: Call) -> Json:
        names = {cluster.name for cluster in self._clusters(call)}
        return {"operations": [self._operation(o, call) for o in self.pools.operations.values() if o.cluster in names]}

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
                "labels": {HANDS_OFF: "true"} if described.hands_off else {},
            },
            "initialNodeCount": pool.desired,
            "locations": [cluster.cloud.region],
            "autoscaling": bounds if pool.autoscaled else {},
            "status": "RECONCILING" if self.pools.running(cluster.name, name) else "RUNNING",
            "etag": pool.etag,
            "instanceGroupUrls": [f"{call.base}{_group_path(cluster, name)}"],
            "selfLink": f"{self._link(cluster, call)}/nodePools/{name}",
        }

    def _operation(self, operation: Operation, call: Call) -> Json:
        cluster = self.pools.cluster(Provider.GKE, operation.cluster)
        place = f"{call.base}/v1/projects/{cluster.cloud.project}/locations/{cluster.cloud.region}"
        resized = set(operation.changes) == {"desired"}
        shown: Json = {
            "name": f"operation-{operation.id}",
            "operationType": "SET_NODE_POOL_SIZE" if resized else "UPDATE_CLUSTER",
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


def _group_path(cluster: Cluster, pool: str) -> str:
    place = f"projects/{cluster.cloud.project}/zones/{cluster.cloud.region}"
    return f"/compute/v1/{place}/instanceGroupManagers/gke-{cluster.name}-{pool}-grp"


def _time(seconds: float) -> str:
    return utc(seconds).isoformat().replace("+00:00", "Z")


def _refusal(error: ContinuumError) -> Response:
    status, code = next((status, code) for kind, status, code in ERRORS if isinstance(error, kind))
    words = f"Cluster is running incompatible operation. {error}" if isinstance(error, Conflict) else str(error)
    return JSONResponse({"error": {"code": status, "message": words, "status": code}}, status)
