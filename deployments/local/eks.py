"""The EKS API of the simulated fleet, REST-JSON as boto3 speaks it: clusters, node groups, updates."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from blocks.errors import CloudRefused, Conflict, ContinuumError, InvalidInput, NotFound, Unauthorized
from blocks.fleet import Cluster, Provider
from deployments.local.node_pools import NodePools
from deployments.local.nodes import HANDS_OFF
from deployments.local.pool_state import Operation, Pool
from deployments.local.rest import Call, Json, api, route

# errors of ours, the status and the code that boto3 makes a ClientError of; the first that fits
ERRORS: tuple[tuple[type[ContinuumError], int, str], ...] = (
    (NotFound, 404, "ResourceNotFoundException"),
    (Conflict, 409, "ResourceInUseException"),
    (CloudRefused, 400, "InvalidParameterException"),
    (InvalidInput, 400, "InvalidParameterException"),
    (Unauthorized, 403, "MissingAuthenticationTokenException"),
    (ContinuumError, 500, "ServerException"),
)
STATES = {"running": "InProgress", "done": "Successful", "failed": "Failed"}
SIZES = {"minSize": "min_nodes", "maxSize": "max_nodes", "desiredSize": "desired"}
ACCOUNT = "000000000000"


def app(pools: NodePools) -> Starlette:
    """The API, to be mounted at the path that boto3's `endpoint_url` ends in."""
    eks = _Eks(pools)
    group = "/clusters/{cluster}/node-groups/{pool}"
    routes = [
        route("/clusters", eks.list_clusters),
        route("/clusters/{cluster}", eks.describe_cluster),
        route("/clusters/{cluster}/node-groups", eks.list_nodegroups),
        route(group, eks.describe_nodegroup),
        route(f"{group}/update-config", eks.update_nodegroup_config, "POST"),
        route("/clusters/{cluster}/updates", eks.list_updates),
        route("/clusters/{cluster}/updates/{update}", eks.describe_update),
    ]
    return api(routes, _refusal)


class _Eks:
    def __init__(self, pools: NodePools) -> None:
        self.pools = pools

    def list_clusters(self, call: Call) -> Json:
        names, next_token = _page([cluster.name for cluster in self.pools.of(Provider.EKS)], call)
        return {"clusters": names, "nextToken": next_token}

    def describe_cluster(self, call: Call) -> Json:
        cluster = self._cluster(call)
        return {
            "cluster": {
                "name": cluster.name,
                "arn": f"arn:aws:eks:{cluster.cloud.region}:{ACCOUNT}:cluster/{cluster.name}",
                "endpoint": f"{call.origin}/clusters/{cluster.name}",
                "version": "1.36",
                "status": "ACTIVE",
                "certificateAuthority": {},
                "tags": {"simulated": "true"},
            }
        }

    def list_nodegroups(self, call: Call) -> Json:
        names, next_token = _page([pool.name for pool in self._cluster(call).node_pools], call)
        return {"nodegroups": names, "nextToken": next_token}

    def describe_nodegroup(self, call: Call) -> Json:
        cluster, pool = self._cluster(call), self._pool(call)
        described = self.pools.described(pool)
        marks = {HANDS_OFF: "true"} if described.hands_off else {}
        return {
            "nodegroup": {
                "nodegroupName": pool.name,
                "nodegroupArn": f"arn:aws:eks:{cluster.cloud.region}:{ACCOUNT}:nodegroup/{cluster.name}/{pool.name}/0",
                "clusterName": cluster.name,
                "version": "1.36",
                "status": "UPDATING" if self.pools.running(cluster.name, pool.name) else "ACTIVE",
                "capacityType": "ON_DEMAND",
                "scalingConfig": {size: getattr(pool, name) for size, name in SIZES.items()},
                "instanceTypes": [described.instance_type],
                "labels": marks,
                "tags": marks | _autoscaler_tags(cluster, pool),
                "resources": {"autoScalingGroups": [{"name": f"eks-{pool.name}-simulated"}]},
                "health": {"issues": []},
                "updateConfig": {"maxUnavailable": 1},
            }
        }

    def update_nodegroup_config(self, call: Call) -> Json:
        pool = self._pool(call)
        asked = call.body.get("scalingConfig") or {}
        unknown = sorted(set(asked) - set(SIZES)) + sorted(set(call.body) - {"scalingConfig", "clientRequestToken"})
        if unknown or not asked:
            raise InvalidInput(
                f"only scalingConfig is simulated, not {', '.join(unknown) or 'an empty update'}",
                where=f"pool {pool.id}",
            )
        changes = {SIZES[size]: call.whole_number(value, size) for size, value in asked.items()}
        token = str(call.body.get("clientRequestToken") or "")
        return {"update": _update(self.pools.update(pool.cluster, pool.name, changes, token=token))}

    def list_updates(self, call: Call) -> Json:
        cluster, group = self._cluster(call).name, call.query.get("nodegroupName")
        operations = (o for o in self.pools.operations.values() if o.cluster == cluster and group in (None, o.pool))
        ids, next_token = _page([operation.id for operation in operations], call)
        return {"updateIds": ids, "nextToken": next_token}

    def describe_update(self, call: Call) -> Json:
        cluster, operation = self._cluster(call), self.pools.operation(call.path["update"])
        if (operation.cluster, operation.pool) != (cluster.name, call.query.get("nodegroupName")):
            raise NotFound(f"no update {operation.id}", where=f"cluster {cluster.name}", fix="name its node group")
        return {"update": _update(operation)}

    def _cluster(self, call: Call) -> Cluster:
        return self.pools.cluster(Provider.EKS, call.path["cluster"])

    def _pool(self, call: Call) -> Pool:
        return self.pools.pool(self._cluster(call).name, call.path["pool"])


def _update(operation: Operation) -> Json:
    names = {"min_nodes": "MinSize", "max_nodes": "MaxSize", "desired": "DesiredSize"}
    errors: list[Json] = [{"errorCode": "NodeCreationFailure", "errorMessage": operation.error, "resourceIds": []}]
    return {
        "id": operation.id,
        "status": STATES[operation.state],
        "type": "ConfigUpdate",
        "params": [{"type": names[name], "value": str(value)} for name, value in operation.changes.items()],
        "createdAt": operation.accepted_s,
        "errors": errors if operation.error else [],
    }


def _autoscaler_tags(cluster: Cluster, pool: Pool) -> Json:
    found = {f"k8s.io/cluster-autoscaler/{cluster.name}": "owned", "k8s.io/cluster-autoscaler/enabled": "true"}
    return found if pool.autoscaled else {}


def _page(names: list[Any], call: Call) -> tuple[list[Any], str | None]:
    size = call.whole_number(call.query.get("maxResults", 100), "maxResults")
    start = call.whole_number(call.query.get("nextToken", 0), "nextToken")
    end = start + size
    return names[start:end], str(end) if end < len(names) else None


def _refusal(error: ContinuumError) -> Response:
    status, code = next((status, code) for kind, status, code in ERRORS if isinstance(error, kind))
    return JSONResponse({"message": str(error)}, status, headers={"x-amzn-errortype": code})
