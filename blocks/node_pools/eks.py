"""Managed node groups of Amazon EKS through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from blocks.errors import (
    CloudRefused,
    Conflict,
    ContinuumError,
    NotConfigured,
    NotFound,
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
ATTEMPTS = 3  # safe for writes too: each carries a client request token

# Error code -> kind. An unknown code is judged by its HTTP status.
CODES: dict[str, type[ContinuumError]] = {
    "ResourceInUseException": Conflict,
    "InvalidRequestException": Conflict,  # "invalid given the state of the cluster"
    "ConflictException": Conflict,
    "InvalidParameterException": CloudRefused,
    "ResourceLimitExceededException": CloudRefused,
    "UnsupportedAvailabilityZoneException": CloudRefused,
    "ResourceNotFoundException": NotFound,
    "NoSuchHostedZone": NotFound,
    "PriorRequestNotComplete": Throttled,
    "InvalidChangeBatch": CloudRefused,
    "AccessDenied": Unauthorized,
    "AccessDeniedException": Unauthorized,
    "ExpiredToken": Unauthorized,
    "ExpiredTokenException": Unauthorized,
    "InvalidClientTokenId": Unauthorized,
    "InvalidSignatureException": Unauthorized,
    "UnrecognizedClientException": Unauthorized,
    "RequestLimitExceeded": Throttled,
    "Throttling": Throttled,
    "ThrottlingException": Throttled,
    "TooManyRequestsException": Throttled,
    "ServerException": Unreachable,
    "ServiceUnavailableException": Unreachable,
}
FIXES: dict[type[ContinuumError], str] = {
    CloudRefused: "lower the request, or raise the limit that the message names",
    Conflict: "wait until the running update ends, then decide anew",
    NotFound: "check the cluster's and the pool's name and region",
    Throttled: "ask less often",
    Unauthorized: "grant eks:*Nodegroup* and eks:*Update* to this role, or renew its credentials",
}
# What the SDK itself raises, by name, because it is imported late.
_NO_CREDENTIALS = (NotConfigured, "no usable AWS credentials", "run `aws configure`, or set cloud.profile")
_NO_PLACE = (NotConfigured, "no such AWS region or profile", "set cloud.region and cloud.profile")
SDK_ERRORS: dict[str, tuple[type[ContinuumError], str, str]] = {
    "ReadTimeoutError": (TimedOut, "AWS did not answer in time", "read the pool before repeating it"),
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _NO_CREDENTIALS,
    "CredentialRetrievalError": _NO_CREDENTIALS,
    "TokenRetrievalError": _NO_CREDENTIALS,
    "UnauthorizedSSOTokenError": _NO_CREDENTIALS,
    "SSOTokenLoadError": _NO_CREDENTIALS,
    "NoRegionError": _NO_PLACE,
    "InvalidRegionError": _NO_PLACE,
    "ProfileNotFound": _NO_PLACE,
    "ParamValidationError": (CloudRefused, "a parameter that the SDK refuses", "correct cloud.* and the sizes"),
    "SSLError": (Unreachable, "the TLS certificate is not trusted", "set AWS_CA_BUNDLE to its issuer"),
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
        with sdk_errors(f"cluster {cluster.name}"):
            return cls(cluster, sdk_client(cluster))

    def list(self) -> list[PoolState]:
        """All node groups, by name; one list call and one describe each."""
        with sdk_errors(f"cluster {self._inventory.cluster}"):
            pages = self._client.get_paginator("list_nodegroups").paginate(clusterName=self._cluster)
            names = sorted(name for page in pages for name in page["nodegroups"])
        return [self.describe(name) for name in names]

    def describe(self, pool: str) -> PoolState:
        """One node group."""
        with sdk_errors(self._inventory.where(pool)):
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
        with sdk_errors(self._inventory.where(op.pool)):
            answer = self._client.describe_update(name=self._cluster, nodegroupName=op.pool, updateId=op.id)
        return _operation(op.pool, answer["update"])

    def wait(self, op: Operation, timeout_s: float) -> Operation:
        """See `NodePools.wait`."""
        return self._waiter.wait(op, self.operation, timeout_s, where=self._inventory.where(op.pool))

    def _update(self, pool: str, sizes: dict[str, int], token: str | None) -> Operation:
        asked: dict[str, Any] = {"clusterName": self._cluster, "nodegroupName": pool, "scalingConfig": sizes}
        if token:
            asked["clientRequestToken"] = token
        with sdk_errors(self._inventory.where(pool)):
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


def sdk_client(cluster: Cluster, service: str = "eks") -> Any:
    """The official client of an AWS service, at the endpoint that the inventory names."""
    import boto3
    from botocore.config import Config

    cloud = cluster.cloud
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    if cloud.endpoint_url and cloud.endpoint_url.startswith("http://"):
        keys = {"aws_access_key_id": STAND_IN, "aws_secret_access_key": STAND_IN}
        stand_in = boto3.Session(region_name=cloud.region or "us-east-1", **keys)
        if urlsplit(cloud.endpoint_url).hostname in LOOPBACK:
            config = config.merge(Config(proxies={}))  # a proxy does not lead to this machine
        return stand_in.client(service, endpoint_url=cloud.endpoint_url, config=config)
    session = boto3.Session(profile_name=cloud.profile, region_name=cloud.region)
    if cloud.role_arn:
        session = _assume(session, cloud.role_arn, cluster.name)
    return session.client(service, endpoint_url=cloud.endpoint_url, config=config)


def _assume(session: Any, role_arn: str, cluster: str) -> Any:
    """A session whose credentials are those of a role, renewed by themselves before they expire."""
    import boto3
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
    from botocore.session import get_session

    source = session.get_credentials()
    if source is None:
        raise NotConfigured(
            f"no AWS credentials to assume {role_arn} with", where=f"cluster {cluster}", fix="run `aws configure`"
        )
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=session._session.create_client,
        source_credentials=source,
        role_arn=role_arn,
        extra_args={"RoleSessionName": "continuum"},
    )
    inner = get_session()
    inner._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, method="assume-role")
    return boto3.Session(botocore_session=inner, region_name=session.region_name)


@contextmanager
def sdk_errors(where: str) -> Iterator[None]:
    """Turn every failure of boto3 into one error of ours."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _of_client_error(error, where) from None
    except BotoCoreError as error:
        kind, what, fix = SDK_ERRORS.get(type(error).__name__, (Unreachable, "no usable answer from AWS", "try again"))
        raise kind(f"{what} ({type(error).__name__})", where=where, fix=fix) from None
    except (ResponseParserError, KeyError, TypeError):
        raise Unreachable(
            "an answer that is not AWS' (an HTML page?)", where=where, fix="check cloud.endpoint_url and the proxy"
        ) from None


def _of_client_error(error: Any, where: str) -> ContinuumError:
    said = error.response.get("Error") or {}
    message = str(said.get("Message") or "").encode()
    kind = CODES.get(str(said.get("Code")))
    if kind is None:
        status = (error.response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 500
        return of_status(status, message, where=where)
    return kind(f"{said['Code']}: {excerpt(message)}", where=where, fix=FIXES.get(kind, "read the pool again"))
