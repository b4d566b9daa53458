"""The AKS API of the simulated fleet, Azure Resource Manager as azure-mgmt-containerservice speaks it.

As on AKS, a change is a PUT of the whole agent pool, its progress is read at the URL in `Azure-AsyncOperation`,
`If-Match` guards it, and `minCount` and `maxCount` exist only while the autoscaler is on.
"""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from blocks.errors import CloudRefused, Conflict, ContinuumError, InvalidInput, NotFound, Throttled, Unauthorized
from blocks.fleet import Cluster, Provider
from blocks.series import utc
from deployments.local.node_pools import NodePools
from deployments.local.nodes import HANDS_OFF
from deployments.local.pool_state import Operation, Pool
from deployments.local.rest import Call, Json, Row, api, said
from deployments.local.throttling import Rate, Rates, Throttle


class EtagMismatch(Conflict):
    """If-Match names another version than the present one."""


class PropertyChange(CloudRefused):
    """A property of an agent pool that cannot be changed."""


# errors of ours, HTTP status, ARM code; the first that fits
ERRORS: tuple[tuple[type[ContinuumError], int, str], ...] = (
    (NotFound, 404, "ResourceNotFound"),
    (EtagMismatch, 412, "PreconditionFailed"),
    (Conflict, 409, "OperationNotAllowed"),
    (PropertyChange, 400, "PropertyChangeNotAllowed"),
    (CloudRefused, 400, "InvalidParameter"),
    (InvalidInput, 400, "InvalidParameter"),
    (Throttled, 429, "TooManyRequests"),
    (Unauthorized, 401, "AuthenticationFailed"),
    (ContinuumError, 500, "InternalServerError"),
)
STATES = {"running": "InProgress", "done": "Succeeded", "failed": "Failed"}
# of a subscription, as Azure Resource Manager documents its own buckets
RATES = Rates(reads=Rate(25, 250), writes=Rate(10, 200))
# properties of an agent pool that a PUT may set, or that the service sets itself
CHANGED = ("count", "minCount", "maxCount", "enableAutoScaling", "nodeLabels", "nodeTaints",
           "provisioningState", "powerState", "eTag")  # fmt: skip
KIND = "Microsoft.ContainerService/managedClusters"


def app(pools: NodePools) -> Starlette:
    """The API, to be mounted at the path that the client's `base_url` ends in."""
    aks = _Aks(pools)
    account = "/subscriptions/{subscription}"
    group = account + "/resourceGroups/{group}/providers/" + KIND
    pool = group + "/{cluster}/agentPools/{pool}"
    operation = account + "/providers/Microsoft.ContainerService/locations/{location}/operations/{operation}"
    rows = [
        Row(f"{account}/providers/{KIND}", aks.list_clusters),
        Row(group, aks.list_clusters),
        Row(group + "/{cluster}", aks.get_cluster),
        Row(group + "/{cluster}/agentPools", aks.list_pools),
        Row(pool, aks.get_pool),
        Row(pool, aks.put_pool, "PUT"),
        Row(operation, aks.get_operation),
    ]
    return api(rows, _refusal, Throttle(pools.clock, RATES), lambda call: str(call.path["subscription"]))


class _Aks:
    def __init__(self, pools: NodePools) -> None:
        self.pools = pools

    def list_clusters(self, call: Call) -> Json:
        return {"value": [self._shown(cluster, call) for cluster in self._clusters(call)]}

    def get_cluster(self, call: Call) -> Json:
        return self._shown(self._cluster(call), call)

    def list_pools(self, call: Call) -> Json:
        cluster = self._cluster(call)
        return {"value": [self._pool_shown(cluster, self.pools.pool(cluster.name, p.name)) for p in cluster.node_pools]}

    def get_pool(self, call: Call) -> Response:
        cluster, pool = self._pool(call)
        return JSONResponse(self._pool_shown(cluster, pool), headers={"ETag": f'"{pool.etag}"'})

    def put_pool(self, call: Call) -> Response:
        cluster, pool = self._pool(call)
        wanted = call.headers.get("if-match", "*").strip('"')
        if wanted not in ("*", pool.etag):
            raise EtagMismatch(
                f"etag {wanted} is not the present {pool.etag}", where=f"pool {pool.id}", fix="read it again"
            )
        operation = self.pools.update(cluster.name, pool.name, self._changes(call, pool))
        place = f"{call.base}/subscriptions/{cluster.cloud.subscription}/providers/Microsoft.ContainerService"
        url = f"{place}/locations/{cluster.cloud.region}/operations/{operation.id}"
        url += f"?api-version={call.query.get('api-version', '')}"
        return JSONResponse(self._pool_shown(cluster, pool), headers={"Azure-AsyncOperation": url})

    def get_operation(self, call: Call) -> Json:
        operation = self.pools.operation(call.path["operation"])
        cluster = self.pools.cluster(Provider.AKS, operation.cluster)
        if cluster.cloud.subscription != call.path["subscription"]:
            raise NotFound(f"no operation {operation.id}", where=f"subscription {call.path['subscription']}")
        return _operation(operation)

    def _changes(self, call: Call, pool: Pool) -> dict[str, Any]:
        asked = call.section("properties")
        self._check_fixed(pool, asked)
        changes: dict[str, Any] = {"autoscaled": bool(asked.get("enableAutoScaling"))}
        if asked.get("count") is not None:
            changes["desired"] = call.whole_number(asked["count"], "properties.count")
        for name, bound in (("minCount", "min_nodes"), ("maxCount", "max_nodes")):
            if (asked.get(name) is not None) != changes["autoscaled"]:
                verb = "needs" if asked.get(name) is not None else "is required with"
                raise CloudRefused(f"properties.{name} {verb} enableAutoScaling")
            if changes["autoscaled"]:
                changes[bound] = call.whole_number(asked[name], f"properties.{name}")
        if asked.get("nodeLabels") is not None:
            changes["labels"] = {key: text for key, text in asked["nodeLabels"].items() if key != HANDS_OFF}
        if asked.get("nodeTaints") is not None:
            changes["taints"] = [_taint(text) for text in asked["nodeTaints"]]
        present = pool.settings()
        return {name: value for name, value in changes.items() if value != present[name]} or {"desired": pool.desired}

    def _check_fixed(self, pool: Pool, asked: Json) -> None:
        """Refuse another value of what is fixed for a pool's life; so is here what is not simulated."""
        cluster = next(cluster for cluster in self.pools.of(Provider.AKS) if cluster.name == pool.cluster)
        shown = self._pool_shown(cluster, pool)["properties"]
        for name, value in asked.items():
            if name not in CHANGED and value is not None and value != shown.get(name):
                raise PropertyChange(f"Changing property 'properties.{name}' is not allowed.", where=f"pool {pool.id}")

    def _clusters(self, call: Call) -> list[Cluster]:
        found = [c for c in self.pools.of(Provider.AKS) if c.cloud.subscription == call.path["subscription"]]
        return [cluster for cluster in found if call.path.get("group") in (None, cluster.cloud.resource_group)]

    def _cluster(self, call: Call) -> Cluster:
        for cluster in self._clusters(call):
            if call.path["cluster"] in (cluster.name, cluster.cloud.cluster):
                return cluster
        raise NotFound(f"no managed cluster {call.path['cluster']}", where=f"resource group {call.path['group']}")

    def _pool(self, call: Call) -> tuple[Cluster, Pool]:
        cluster = self._cluster(call)
        return cluster, self.pools.pool(cluster.name, call.path["pool"])

    def _shown(self, cluster: Cluster, call: Call) -> Json:
        pools = [self.pools.pool(cluster.name, pool.name) for pool in cluster.node_pools]
        return {
            "id": _id(cluster),
            "name": cluster.name,
            "type": KIND,
            "location": cluster.cloud.region,
            "tags": {"simulated": "true"},
            "properties": {
                "provisioningState": "Updating" if self.pools.running(cluster.name) else "Succeeded",
                "powerState": {"code": "Running"},
                "kubernetesVersion": "1.36.0",
                "fqdn": f"{call.origin}/clusters/{cluster.name}",
                "agentPoolProfiles": [{"name": p.name} | self._pool_shown(cluster, p)["properties"] for p in pools],
            },
        }

    def _pool_shown(self, cluster: Cluster, pool: Pool) -> Json:
        described = self.pools.described(pool)
        marks = {HANDS_OFF: "true"} if described.hands_off else {}
        properties = {
            "count": pool.desired,
            "vmSize": described.instance_type,
            "osType": "Linux",
            "mode": "System",
            "type": "VirtualMachineScaleSets",
            "provisioningState": self._provisioning(pool),
            "powerState": {"code": "Running"},
            "enableAutoScaling": pool.autoscaled,
            "nodeLabels": marks | pool.labels,
            "nodeTaints": [f"{taint['key']}={taint['value']}:{taint['effect']}" for taint in pool.taints],
            "tags": marks,
            "eTag": pool.etag,
        }
        if pool.autoscaled:
            properties |= {"minCount": pool.min_nodes, "maxCount": pool.max_nodes}
        where = f"{_id(cluster)}/agentPools/{pool.name}"
        return {"id": where, "name": pool.name, "type": f"{KIND}/agentPools", "properties": properties}

    def _provisioning(self, pool: Pool) -> str:
        last = self.pools.last(pool)
        if last is not None and last.state == "running":
            return "Scaling" if last.kind == "set_desired" else "Updating"
        return "Failed" if last is not None and last.state == "failed" else "Succeeded"


def _taint(text: str) -> dict[str, str]:
    """A taint as AKS writes it, `key=value:Effect`."""
    head, _, effect = text.rpartition(":")
    key, _, value = head.partition("=")
    if not key or effect not in ("NoSchedule", "NoExecute", "PreferNoSchedule"):
        raise CloudRefused(f"The taint '{text}' is not valid, it must be key=value:effect.")
    return {"key": key, "value": value, "effect": effect}


def _id(cluster: Cluster) -> str:
    cloud = cluster.cloud
    return f"/subscriptions/{cloud.subscription}/resourceGroups/{cloud.resource_group}/providers/{KIND}/{cluster.name}"


def _operation(operation: Operation) -> Json:
    shown: Json = {
        "id": operation.id,
        "name": operation.id,
        "status": STATES[operation.state],
        "startTime": utc(operation.accepted_s).isoformat(),
    }
    if operation.finished_s is not None:
        shown["endTime"] = utc(operation.finished_s).isoformat()
    if operation.error:
        shown["error"] = {"code": operation.code or "OperationFailed", "message": operation.error}
    return shown


def _refusal(error: ContinuumError) -> Response:
    status, code = next((status, code) for kind, status, code in ERRORS if isinstance(error, kind))
    words = said(error)
    if isinstance(error, Throttled):
        words = f"The request is being throttled as the limit has been reached for operation type {error.what}."
    return JSONResponse({"error": {"code": code, "message": words}}, status)
