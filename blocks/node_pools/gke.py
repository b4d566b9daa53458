"""Node pools of Google Kubernetes Engine through google-cloud-container."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from blocks.errors import (
    CloudRefused,
    Conflict,
    ContinuumError,
    InvalidInput,
    NotConfigured,
    NotFound,
    Refused,
    Throttled,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from blocks.fleet import Cluster
from blocks.http import CONNECT_TIMEOUT_S, LOOPBACK, STAND_IN, excerpt, fetch_json, of_request, of_status
from blocks.node_pools import Operation, PoolState
from blocks.node_pools.guards import Inventory, Waiter, version_of

READ_TIMEOUT_S = 30.0
BUSY = ("PROVISIONING", "RECONCILING", "STOPPING")

# Words of GKE's messages that say more than the status they come with -> kind, fix.
SAID: tuple[tuple[str, type[ContinuumError], str], ...] = (
    ("incompatible operation", Conflict, "wait until the cluster's running operation ends"),
    ("currently being", Conflict, "wait until the cluster's running operation ends"),
    ("per minute", Throttled, "ask less often"),
    ("quota", CloudRefused, "raise the quota that the message names, or ask for fewer nodes"),
    ("stockout", CloudRefused, "try another zone or machine type"),
)


class GkeNodePools:
    """`NodePools` of one GKE cluster. Its size calls have no precondition, so `if_match` is compared just before."""

    def __init__(self, cluster: Cluster, client: Any, waiter: Waiter | None = None, compute: Any = None) -> None:
        cloud = cluster.cloud
        self._inventory, self._client, self._waiter = Inventory.of(cluster), client, waiter or Waiter()
        self._location = f"projects/{cloud.project}/locations/{cloud.region}"
        self._cluster = f"{self._location}/clusters/{cloud.cluster or cluster.name}"
        self._endpoint, self._compute = cloud.endpoint_url, compute

    @classmethod
    def connect(cls, cluster: Cluster) -> Self:
        """By Application Default Credentials over gRPC; over REST where `cloud.endpoint_url` is given.

        Raises
        ------
        NotConfigured: no project, location or credentials.
        """
        where = f"cluster {cluster.name}"
        if not (cluster.cloud.project and cluster.cloud.region):
            raise NotConfigured("no GCP project or location", where=where, fix="set cloud.project and cloud.region")
        with sdk_errors(where):
            client, compute = sdk_clients(cluster)
        return cls(cluster, client, compute=compute)

    def list(self) -> list[PoolState]:
        """All node pools, by name."""
        with sdk_errors(f"cluster {self._inventory.cluster}"):
            pools = self._client.list_node_pools(parent=self._cluster, timeout=READ_TIMEOUT_S, retry=None).node_pools
        return sorted((self._state(pool) for pool in pools), key=lambda state: state.name)

    def describe(self, pool: str) -> PoolState:
        """One node pool."""
        with sdk_errors(self._inventory.where(pool)):
            found = self._client.get_node_pool(name=self._name(pool), timeout=READ_TIMEOUT_S, retry=None)
        return self._state(found)

    def set_bounds(self, pool: str, min_nodes: int, max_nodes: int, if_match: str | None = None) -> Operation:
        """Move the autoscaler's bounds, in the way (per zone or in total) the pool has them.

        Raises
        ------
        Refused: the pool has no autoscaler, so its bounds are those of the inventory.
        """
        with sdk_errors(self._inventory.where(pool)):
            found = self._client.get_node_pool(name=self._name(pool), timeout=READ_TIMEOUT_S, retry=None)
        state, where = self._state(found), self._inventory.where(pool)
        self._inventory.check(state, if_match=if_match)
        self._inventory.check_bounds(pool, min_nodes, max_nodes)
        if (min_nodes, max_nodes) == (state.min_nodes, state.max_nodes):
            return Operation("", pool, "done")
        scaling = found.autoscaling
        if not scaling.enabled:
            raise Refused("it has no autoscaler whose bounds could move", where=where, fix="set its size instead")
        asked: dict[str, Any] = {"enabled": True, "location_policy": scaling.location_policy}
        if scaling.total_max_node_count:
            asked |= {"total_min_node_count": min_nodes, "total_max_node_count": max_nodes}
        elif min_nodes % state.multiple_of or max_nodes % state.multiple_of:
            raise Refused(
                f"bounds {min_nodes}-{max_nodes} do not divide by its {state.multiple_of} zones",
                where=where,
                fix=f"give multiples of {state.multiple_of}",
            )
        else:
            zones = state.multiple_of
            asked |= {"min_node_count": min_nodes // zones, "max_node_count": max_nodes // zones}
        request = {"name": self._name(pool), "autoscaling": asked}
        with sdk_errors(where):
            started = self._client.set_node_pool_autoscaling(request=request, timeout=READ_TIMEOUT_S, retry=None)
        return _operation(pool, started)

    def set_desired(self, pool: str, desired: int, if_match: str | None = None, token: str | None = None) -> Operation:
        """Set the size. GKE takes no request token: a repeat of the same size is harmless, and refused while busy."""
        del token
        state = self.describe(pool)
        self._inventory.check(state, if_match=if_match)
        self._inventory.check_desired(state, desired)
        if desired == state.desired:
            return Operation("", pool, "done")
        request = {"name": self._name(pool), "node_count": desired // state.multiple_of}
        with sdk_errors(self._inventory.where(pool)):
            started = self._client.set_node_pool_size(request=request, timeout=READ_TIMEOUT_S, retry=None)
        return _operation(pool, started)

    def operation(self, op: Operation) -> Operation:
        """The operation as it stands."""
        if not op.id:
            return op
        with sdk_errors(self._inventory.where(op.pool)):
            name = f"{self._location}/operations/{op.id}"
            found = self._client.get_operation(name=name, timeout=READ_TIMEOUT_S, retry=None)
        return _operation(op.pool, found)

    def wait(self, op: Operation, timeout_s: float) -> Operation:
        """See `NodePools.wait`."""
        return self._waiter.wait(op, self.operation, timeout_s, where=self._inventory.where(op.pool))

    def _name(self, pool: str) -> str:
        return f"{self._cluster}/nodePools/{pool}"

    def _state(self, pool: Any) -> PoolState:
        scaling, zones = pool.autoscaling, max(len(pool.locations), 1)
        desired = self._size(pool, zones)
        low, high = self._inventory.bounds(pool.name, desired)
        if scaling.enabled and scaling.total_max_node_count:
            low, high = scaling.total_min_node_count, scaling.total_max_node_count
        elif scaling.enabled:
            low, high = scaling.min_node_count * zones, scaling.max_node_count * zones
        marks = self._inventory.marks(pool.name, dict(pool.config.resource_labels), dict(pool.config.labels))
        return PoolState(
            name=pool.name,
            min_nodes=low,
            max_nodes=high,
            desired=desired,
            ready=None,
            version=version_of(pool.etag, low, high, desired, sorted(marks.items())),
            busy_operation=self._running_operation(pool) if pool.status.name in BUSY else None,
            autoscaled=bool(scaling.enabled) or self._inventory.autoscaled(pool.name),
            multiple_of=zones,
            movable_bounds=bool(scaling.enabled),
            **marks,
        )

    def _size(self, pool: Any, zones: int) -> int:
        """Nodes asked for in all zones.

        Its instance groups know it: `initial_node_count` need not follow what the autoscaler did since.
        A stand-in endpoint has no instance groups and tells the size there.
        """
        stand_in = (self._endpoint or "").startswith("http://")
        groups = [url for url in pool.instance_group_urls if not stand_in or url.startswith(self._endpoint)]
        if not groups:
            return int(pool.initial_node_count) * zones
        where = self._inventory.where(pool.name)
        timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        answers = [fetch_json(self._compute, "GET", url, where=where, timeout=timeout) for url in groups]
        with sdk_errors(where):
            return sum(int(answer["targetSize"]) for answer in answers)

    def _running_operation(self, pool: Any) -> str:
        """Id of the operation that holds the cluster: GKE runs one at a time."""
        with sdk_errors(self._inventory.where(pool.name)):
            found = self._client.list_operations(parent=self._location, timeout=READ_TIMEOUT_S, retry=None).operations
        cluster = self._cluster.rsplit("/", 1)[-1]
        running = (op.name for op in found if op.status.name != "DONE" and f"/clusters/{cluster}" in op.target_link)
        return next(running, "unknown")


def _operation(pool: str, op: Any) -> Operation:
    """GKE's DONE says nothing about success: the error is a field beside it."""
    if op.status.name != "DONE":
        return Operation(op.name, pool, "running")
    if op.error.code or op.error.message or op.status_message:
        return Operation(op.name, pool, "failed", op.error.message or op.status_message or f"code {op.error.code}")
    return Operation(op.name, pool, "done")


def sdk_clients(cluster: Cluster) -> tuple[Any, Any]:
    """The cluster manager, and a session with the same credentials for the sizes of instance groups."""
    from google.auth import default
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.container_v1 import ClusterManagerClient
    from google.oauth2.credentials import Credentials

    endpoint = cluster.cloud.endpoint_url
    plain = bool(endpoint and endpoint.startswith("http://"))
    credentials = Credentials(STAND_IN) if plain else default(["https://www.googleapis.com/auth/cloud-platform"])[0]
    if not endpoint:
        return ClusterManagerClient(credentials=credentials), AuthorizedSession(credentials)
    client = ClusterManagerClient(
        transport="rest", credentials=credentials, client_options={"api_endpoint": endpoint.rstrip("/")}
    )
    http = AuthorizedSession(credentials)
    if urlsplit(endpoint).hostname in LOOPBACK:
        client.transport._session.trust_env = http.trust_env = False  # a proxy does not lead to this machine
    return client, http


@contextmanager
def sdk_errors(where: str) -> Iterator[None]:
    """Turn every failure of the Google libraries into one error of ours."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.protobuf.json_format import ParseError

    try:
        yield
    except api.GoogleAPICallError as error:
        raise _of_call(error, where) from None
    except api.RetryError:
        raise TimedOut("GCP did not answer in time", where=where, fix="read the pool before repeating it") from None
    except auth.DefaultCredentialsError:
        raise NotConfigured(
            "no Google credentials", where=where, fix="run `gcloud auth application-default login`"
        ) from None
    except auth.TransportError:
        raise Unreachable("Google's token server does not answer", where=where, fix="check the network") from None
    except auth.GoogleAuthError:
        raise Unauthorized("Google refuses the credentials", where=where, fix="renew them") from None
    except requests.RequestException as error:
        raise of_request(error, where=where) from None
    except (ParseError, KeyError, TypeError, ValueError):
        raise Unreachable(
            "an answer that is not Google's (an HTML page?)", where=where, fix="check cloud.endpoint_url and the proxy"
        ) from None


def _of_call(error: Any, where: str) -> ContinuumError:
    """By what the message says, then by status: GKE says "busy" with 400 and "no quota" with 403."""
    # Over REST the SDK puts method and URL before the words that a person needs.
    said = excerpt(re.sub(r"^[A-Z]+ \S+: ", "", str(error.message or "")).encode())
    status = int(error.code or 500)
    for words, kind, fix in SAID:
        if words in said.lower() and status < 500:
            return kind(said, where=where, fix=fix)
    if _rpc_code(error) in ("FAILED_PRECONDITION", "ABORTED"):
        return Conflict(said, where=where, fix="read the pool again and decide anew")
    known = of_status(status, said.encode(), where=where)
    if isinstance(known, InvalidInput):
        return CloudRefused(said, where=where, fix="correct the size or the name that the message tells")
    if isinstance(known, NotFound):
        return NotFound(said, where=where, fix="check cloud.project, region, the cluster's and the pool's name")
    return known


def _rpc_code(error: Any) -> str:
    """The google.rpc code: gRPC gives it as such, REST only in the body."""
    if error.grpc_status_code is not None and error.response is None:
        return str(error.grpc_status_code.name)
    try:
        return str(error.response.json()["error"]["status"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""
