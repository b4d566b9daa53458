"""The EKS API of the simulated fleet, REST-JSON as boto3 speaks it: clusters, node groups, updates."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from blocks.errors import CloudRefused, Conflict, ContinuumError, InvalidInput, NotFound, Throttled, Unauthorized
from blocks.fleet import Autoscaler, Cluster, Provider
from deployments.local.node_pools import NodePools
from deployments.local.nodes import HANDS_OFF, group_name
from deployments.local.pool_state import Operation, Pool
from deployments.local.rest import Call, Json, Row, api, said
from deployments.local.throttling import Rate, Rates, Throttle

# errors of ours, the status and the code that boto3 makes a ClientError of; the first that fits
ERRORS: tuple[tuple[type[ContinuumError], int, str], ...] = (
    (NotFound, 404, "ResourceNotFoundException"),
    (Conflict, 409, "ResourceInUseException"),
    (CloudRefused, 400, "InvalidParameterException"),
    (InvalidInput, 400, "InvalidParameterException"),
    (Throttled, 429, "ThrottlingException"),
    (Unauthorized, 403, "MissingAuthenticationTokenException"),
    (ContinuumError, 500, "ServerException"),
)
STATES = {"running": "InProgress", "done": "Successful", "failed": "Failed"}
SIZES = {"minSize": "min_nodes", "maxSize": "max_nodes", "desiredSize": "desired"}
EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}
PARAMS = {"min_nodes": "MinSize", "max_nodes": "MaxSize", "desired": "DesiredSize", "labels": "LabelsToAdd",
          "taints": "TaintsToAdd", "update_config": "MaxUnavailable"}  # fmt: skip
ACCOUNT = "000000000000"
RATES = Rates(reads=Rate(20, 200), writes=Rate(5, 50))  # by account and region; general knowledge, on the high side
REGION = re.compile(r"Credential=[^/]*/[^/]*/([^/]+)/")


def app(pools: NodePools) -> Starlette:
    """The API, to be mounted at the path that boto3's `endpoint_url` ends in."""
    eks = _Eks(pools)
    group = "/clusters/{cluster}/node-groups/{pool}"
    rows = [
        Row("/clusters", eks.list_clusters),
        Row("/clusters/{cluster}", eks.describe_cluster),
        Row("/clusters/{cluster}/node-groups", eks.list_nodegroups),
        Row(group, eks.describe_nodegroup),
        Row(f"{group}/update-config", eks.update_nodegroup_config, "POST"),
        Row("/clusters/{cluster}/updates", eks.list_updates),
        Row("/clusters/{cluster}/updates/{update}", eks.describe_update),
    ]
    return api(rows, _refusal, Throttle(pools.clock, RATES), _region)


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
        groups = [pool.name for pool in self._cluster(call).node_pools if pool.autoscaler is not Autoscaler.KARPENTER]
        names, next_token = _page(groups, call)
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
                "status": self._status(pool),
                "capacityType": "ON_DEMAND",
                "scalingConfig": {size: getattr(pool, name) for size, name in SIZES.items()},
                "instanceTypes": [described.instance_type],
                "labels": marks | pool.labels,
                "taints": [_taint(taint) for taint in pool.taints],
                "tags": marks | _autoscaler_tags(cluster, pool),
                "resources": {"autoScalingGroups": [{"name": group_name(cluster, described)}]},
                "health": {"issues": _issues(pool, group_name(cluster, described))},
                "updateConfig": pool.update_config,
            }
        }

    def update_nodegroup_config(self, call: Call) -> Json:
        pool = self._pool(call)
        call.only("scalingConfig", "labels", "taints", "updateConfig", "clientRequestToken")
        changes: dict[str, Any] = {}
        for size, value in call.section("scalingConfig").items():
            if size not in SIZES:
                raise InvalidInput(f"scalingConfig.{size} is not simulated", where=f"pool {pool.id}")
            changes[SIZES[size]] = call.whole_number(value, size)
        if asked := call.section("labels"):
            kept = {key: text for key, text in pool.labels.items() if key not in asked.get("removeLabels", ())}
            changes["labels"] = kept | asked.get("addOrUpdateLabels", {})
        if asked := call.section("taints"):
            changes["taints"] = _taints(pool, asked)
        if asked := call.section("updateConfig"):
            changes["update_config"] = _update_config(call, asked, changes.get("max_nodes", pool.max_nodes))
        if not changes:
            raise CloudRefused("No changes needed for the node group", where=f"pool {pool.id}")
        token = str(call.body.get("clientRequestToken") or "")
        return {"update": _update(self.pools.update(pool.cluster, pool.name, changes, token=token))}

    def list_updates(self, call: Call) -> Json:
        cluster, group = self._cluster(call).name, call.query.get("nodegroupName")
        operations = [operation for operation in self.pools.asked_for(cluster) if group in (None, operation.pool)]
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
        """A node group; what Karpenter makes is none."""
        pool = self.pools.pool(self._cluster(call).name, call.path["pool"])
        if self.pools.described(pool).autoscaler is Autoscaler.KARPENTER:
            raise NotFound(f"no node group {pool.name}", where=f"cluster {pool.cluster}", fix="list the node groups")
        return pool

    def _status(self, pool: Pool) -> str:
        """A group that failed to launch is DEGRADED until a launch succeeds (aws/containers-roadmap#2326)."""
        if self.pools.running(pool.cluster, pool.name):
            return "UPDATING"
        return "DEGRADED" if pool.lack else "ACTIVE"


def _region(call: Call) -> str:
    """The region that the request is signed for; accounts are all one here."""
    found = REGION.search(call.headers["authorization"])
    return found[1] if found else ""


def _issues(pool: Pool, group: str) -> list[Json]:
    if not pool.lack:
        return []
    return [{"code": pool.lack["code"], "message": pool.lack["message"], "resourceIds": [group]}]


def _taint(taint: dict[str, str]) -> Json:
    effect = next(name for name, effect in EFFECTS.items() if effect == taint["effect"])
    return {"key": taint["key"], "value": taint.get("value", ""), "effect": effect}


def _taints(pool: Pool, asked: Json) -> list[dict[str, str]]:
    """Taints of the pool with some set and some taken off: one for each key and effect."""
    found = {(taint["key"], taint["effect"]): taint for taint in pool.taints}
    for verb in ("removeTaints", "addOrUpdateTaints"):
        for taint in asked.get(verb, ()):
            if taint.get("effect") not in EFFECTS or not taint.get("key"):
                raise CloudRefused(f"taint effect {taint.get('effect')} is not valid", where=f"pool {pool.id}")
            place = taint["key"], EFFECTS[taint["effect"]]
            found.pop(place, None)
            if verb == "addOrUpdateTaints":
                found[place] = {"key": place[0], "value": taint.get("value", ""), "effect": place[1]}
    return list(found.values())


def _update_config(call: Call, asked: Json, most: int) -> dict[str, int]:
    sizes = {name: call.whole_number(value, name) for name, value in asked.items()}
    limits = {"maxUnavailable": most, "maxUnavailablePercentage": 100}
    if len(sizes) != 1 or not all(1 <= value <= limits.get(name, 0) for name, value in sizes.items()):
        raise CloudRefused("max-unavailable must be within the range 1 and max size of the node group")
    return sizes


def _update(operation: Operation) -> Json:
    errors: list[Json] = [{"errorCode": "NodeCreationFailure", "errorMessage": operation.error, "resourceIds": []}]
    return {
        "id": operation.id,
        "status": STATES[operation.state],
        "type": "ConfigUpdate",
        "params": [{"type": PARAMS[name], "value": json.dumps(value)} for name, value in operation.changes.items()],
        "createdAt": operation.accepted_s,
        "errors": errors if operation.error else [],
    }


def _autoscaler_tags(cluster: Cluster, pool: Pool) -> Json:
    found = {f"k8s.io/cluster-autoscaler/{cluster.name}": "owned", "k8s.io/cluster-autoscaler/enabled": "true"}
    return found if pool.autoscaled else {}


def _page(names: list[Any], call: Call) -> tuple[list[Any], str | None]:
    size = call.whole_number(call.query.get("maxResults", 100), "maxResults")
    start = call.whole_number(call.query.get("nextToken", 0), "nextToken")
    if not 1 <= size <= 100:
        raise CloudRefused("maxResults must be between 1 and 100")
    end = start + size
    return names[start:end], str(end) if end < len(names) else None


def _refusal(error: ContinuumError) -> Response:
    status, code = next((status, code) for kind, status, code in ERRORS if isinstance(error, kind))
    words = "Rate exceeded" if isinstance(error, Throttled) else said(error)
    return JSONResponse({"message": words}, status, headers={"x-amzn-errortype": code})
