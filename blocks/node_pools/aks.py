"""Agent pools of Azure Kubernetes Service through azure-mgmt-containerservice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self
from urllib.parse import urlsplit

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
from blocks.http import CONNECT_TIMEOUT_S, LOOPBACK, STAND_IN, excerpt, of_status
from blocks.node_pools import Operation, PoolState
from blocks.node_pools.guards import Inventory, Waiter, clamp, version_of

READ_TIMEOUT_S = 30.0
STATES: dict[str, Literal["running", "done", "failed"]] = {
    "Succeeded": "done",
    "Failed": "failed",
    "Canceled": "failed",
}

# ARM error code -> kind; any other is judged by its HTTP status.
CODES: dict[str, type[ContinuumError]] = {
    "OperationNotAllowed": Conflict,  # also what a spent quota says: see _of_response
    "EtagMismatch": Conflict,
    "TooManyRequests": Throttled,
    "QuotaExceeded": CloudRefused,
    "InsufficientVCPUQuota": CloudRefused,
    "SkuNotAvailable": CloudRefused,
    "AllocationFailed": CloudRefused,
    "ZonalAllocationFailed": CloudRefused,
    "OverconstrainedAllocationRequest": CloudRefused,
    "InvalidParameter": CloudRefused,
    "AuthorizationFailed": Unauthorized,
}
FIXES: dict[type[ContinuumError], str] = {
    CloudRefused: "raise the quota that the message names, or ask for fewer nodes",
    Conflict: "wait until the running operation ends, then decide anew",
    NotFound: "check cloud.subscription, resource_group, the cluster's and the pool's name",
    Throttled: "ask less often",
    Unauthorized: "grant agentPools/read and agentPools/write to this identity, or renew its credentials",
}


class AksNodePools:
    """`NodePools` of one AKS cluster. Writes carry If-Match with the pool's etag, so the server itself compares."""

    def __init__(self, cluster: Cluster, client: Any, waiter: Waiter | None = None) -> None:
        cloud = cluster.cloud
        self._inventory, self._client, self._waiter = Inventory.of(cluster), client, waiter or Waiter()
        self._place = (cloud.resource_group, cloud.cluster or cluster.name)
        self._endpoint = (cloud.endpoint_url or "").rstrip("/")

    @classmethod
    def connect(cls, cluster: Cluster) -> Self:
        """By the SDK's own credential chain (environment, workload identity, `az login`); a stand-in over plain http.

        Raises
        ------
        NotConfigured: no subscription, resource group or credentials.
        """
        where = f"cluster {cluster.name}"
        if not (cluster.cloud.subscription and cluster.cloud.resource_group):
            raise NotConfigured(
                "no Azure subscription or resource group",
                where=where,
                fix="set cloud.subscription and cloud.resource_group",
            )
        with sdk_errors(where):
            return cls(cluster, sdk_client(cluster))

    def list(self) -> list[PoolState]:
        """All agent pools, by name."""
        with sdk_errors(f"cluster {self._inventory.cluster}"):
            found = [self._state(pool) for pool in self._client.agent_pools.list(*self._place)]
        return sorted(found, key=lambda state: state.name)

    def describe(self, pool: str) -> PoolState:
        """One agent pool."""
        return self._read(pool)[1]

    def set_bounds(self, pool: str, min_nodes: int, max_nodes: int, if_match: str | None = None) -> Operation:
        """Move the autoscaler's bounds; the count follows where it would be outside them.

        Raises
        ------
        Refused: the pool has no autoscaler, so its bounds are those of the inventory.
        """
        found, state = self._read(pool)
        self._inventory.check(state, if_match=if_match)
        self._inventory.check_bounds(pool, min_nodes, max_nodes)
        if (min_nodes, max_nodes) == (state.min_nodes, state.max_nodes):
            return Operation("", pool, "done")
        if not found.enable_auto_scaling:
            raise Refused(
                "it has no autoscaler whose bounds could move",
                where=self._inventory.where(pool),
                fix="set its size instead",
            )
        found.min_count, found.max_count = min_nodes, max_nodes
        found.count = clamp(state.desired, min_nodes, max_nodes)
        return self._put(pool, found)

    def set_desired(self, pool: str, desired: int, if_match: str | None = None, token: str | None = None) -> Operation:
        """Set the count. AKS takes no request token: the etag makes a repeat fail instead of doubling it."""
        del token
        found, state = self._read(pool)
        self._inventory.check(state, if_match=if_match)
        self._inventory.check_desired(state, desired)
        if desired == state.desired:
            return Operation("", pool, "done")
        found.count = desired
        return self._put(pool, found)

    def operation(self, op: Operation) -> Operation:
        """The operation as it stands: by its own status where the API gave an address, else by the pool's."""
        from azure.core.rest import HttpRequest

        if not op.id:
            return op
        with sdk_errors(self._inventory.where(op.pool)):
            if not op.id.startswith("/"):
                return _operation(op.id, op.pool, self._get(op.pool).provisioning_state, None)
            answer = self._client.send_request(HttpRequest("GET", op.id))
            answer.raise_for_status()
            body = answer.json()
            return _operation(op.id, op.pool, body["status"], body.get("error"))

    def wait(self, op: Operation, timeout_s: float) -> Operation:
        """See `NodePools.wait`."""
        return self._waiter.wait(op, self.operation, timeout_s, where=self._inventory.where(op.pool))

    def _get(self, pool: str) -> Any:
        return self._client.agent_pools.get(*self._place, pool)

    def _read(self, pool: str) -> tuple[Any, PoolState]:
        with sdk_errors(self._inventory.where(pool)):
            found = self._get(pool)
            return found, self._state(found)

    def _put(self, pool: str, changed: Any) -> Operation:
        """Write the whole pool, as the API wants it, without the SDK's own polling and retries."""
        from azure.core import MatchConditions

        guard = {"etag": changed.e_tag, "match_condition": MatchConditions.IfNotModified} if changed.e_tag else {}
        with sdk_errors(self._inventory.where(pool)):
            answer = self._client.agent_pools.begin_create_or_update(
                *self._place,
                pool,
                changed,
                polling=False,
                retry_total=0,
                cls=lambda raw, _body, _headers: raw.http_response,
                **guard,
            ).result()
            url = answer.headers.get("Azure-AsyncOperation")
            state = answer.json()["properties"].get("provisioningState")
        # Only the path is kept: the journal outlives an endpoint, and no credential goes to an address it names.
        where = self._relative(url) if url else "provisioning"
        return Operation(where, pool, "running") if url else _operation(where, pool, state, None)

    def _relative(self, url: str) -> str:
        if self._endpoint and url.startswith(self._endpoint):
            return url.removeprefix(self._endpoint)
        parts = urlsplit(url)
        return f"{parts.path}?{parts.query}"

    def _state(self, pool: Any) -> PoolState:
        autoscaled = bool(pool.enable_auto_scaling)
        low, high = self._inventory.bounds(pool.name, pool.count)
        if autoscaled:
            low, high = pool.min_count, pool.max_count
        marks = self._inventory.marks(pool.name, pool.tags, pool.node_labels)
        settled = pool.provisioning_state in (None, *STATES)
        return PoolState(
            name=pool.name,
            min_nodes=low,
            max_nodes=high,
            desired=pool.count,
            ready=None,
            version=pool.e_tag or version_of(low, high, pool.count, sorted(marks.items())),
            busy_operation=None if settled else str(pool.provisioning_state).lower(),
            autoscaled=autoscaled or self._inventory.autoscaled(pool.name),
            movable_bounds=autoscaled,
            **marks,
        )


def _operation(op_id: str, pool: str, status: str | None, error: dict[str, Any] | None) -> Operation:
    state = STATES.get(str(status), "running")
    said = f"{(error or {}).get('code', status)}: {(error or {}).get('message', 'no reason given')}"
    return Operation(op_id, pool, state, said if state == "failed" else None)


def sdk_client(cluster: Cluster) -> Any:
    """The official client, at the endpoint that the inventory names."""
    from azure.core.pipeline.policies import HeadersPolicy, RetryPolicy
    from azure.mgmt.containerservice import ContainerServiceClient

    cloud = cluster.cloud
    options: dict[str, Any] = {
        "retry_policy": RetryPolicy(retry_total=3, retry_backoff_factor=0.2, retry_backoff_max=5),
        "connection_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
    }
    if cloud.endpoint_url:
        options |= {"base_url": cloud.endpoint_url.rstrip("/"), "credential_scopes": [f"{cloud.endpoint_url}/.default"]}
    if urlsplit(cloud.endpoint_url or "").hostname in LOOPBACK:
        options["use_env_settings"] = False  # a proxy does not lead to this machine
    if cloud.endpoint_url and cloud.endpoint_url.startswith("http://"):
        # The SDK refuses to send any credential over plain http.
        options |= {"authentication_policy": HeadersPolicy({"Authorization": f"Bearer {STAND_IN}"})}
        return ContainerServiceClient(_NoCredential(), cloud.subscription, **options)
    from azure.identity import DefaultAzureCredential

    return ContainerServiceClient(DefaultAzureCredential(), cloud.subscription, **options)


class _NoCredential:
    """The SDK wants one even where its authentication policy is replaced."""


@contextmanager
def sdk_errors(where: str) -> Iterator[None]:
    """Turn every failure of the Azure libraries into one error of ours."""
    from azure.core import exceptions as azure

    try:
        yield
    except azure.ClientAuthenticationError as error:
        if error.response is None:
            raise NotConfigured("no usable Azure credentials", where=where, fix="run `az login`") from None
        raise _of_response(error, where) from None
    except azure.DecodeError:
        raise _not_azure(where) from None
    except azure.HttpResponseError as error:
        raise _of_response(error, where) from None
    except azure.ServiceRequestError as error:
        raise Unreachable(
            f"no connection to Azure ({type(error).__name__})", where=where, fix="check cloud.endpoint_url, the network"
        ) from None
    except azure.ServiceResponseTimeoutError:
        raise TimedOut("Azure did not answer in time", where=where, fix="read the pool before repeating it") from None
    except azure.AzureError as error:
        # The connection broke while the answer was awaited: what was asked may have happened.
        raise TimedOut(
            f"Azure's answer was lost ({type(error).__name__})", where=where, fix="read the pool before repeating it"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _not_azure(where) from None


def _not_azure(where: str) -> Unreachable:
    return Unreachable(
        "an answer that is not Azure's (an HTML page?)", where=where, fix="check cloud.endpoint_url and the proxy"
    )


def _of_response(error: Any, where: str) -> ContinuumError:
    """By ARM's error code, then by status; a spent quota hides behind `OperationNotAllowed`."""
    body = error.response.body() if hasattr(error.response, "body") else b""
    code = str(getattr(error.error, "code", "") or "")
    said = excerpt(body) or code
    kind = CODES.get(code)
    if kind is Conflict and "quota" in said.lower():
        kind = CloudRefused
    if kind is None:
        found = of_status(int(error.status_code or 500), body, where=where)
        kind = CloudRefused if isinstance(found, InvalidInput) else type(found)
        if kind not in FIXES:
            return found
    return kind(f"{code}: {said}" if code else said, where=where, fix=FIXES[kind])
