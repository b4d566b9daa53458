"""Amazon's services through boto3: a client by the access that the inventory names, and failures as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
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
from blocks.fleet import CloudAccess
from blocks.http import CONNECT_TIMEOUT_S, LOOPBACK, STAND_IN, excerpt, of_status

Fixes = Mapping[type[ContinuumError], str]

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
# What the SDK itself raises, by name, because it is imported late.
_NO_CREDENTIALS = (NotConfigured, "no usable AWS credentials", "run `aws configure`, or set cloud.profile")
_NO_PLACE = (NotConfigured, "no such AWS region or profile", "set cloud.region and cloud.profile")
SDK_ERRORS: dict[str, tuple[type[ContinuumError], str, str]] = {
    "ReadTimeoutError": (TimedOut, "AWS did not answer in time", "look at it before repeating it"),
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


def aws_client(service: str, cloud: CloudAccess, where: str) -> Any:
    """The official client of a service, at the endpoint that the inventory names; stand-in keys over plain http."""
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    if cloud.endpoint_url and cloud.endpoint_url.startswith("http://"):
        keys = {"aws_access_key_id": STAND_IN, "aws_secret_access_key": STAND_IN}
        stand_in = _session(region_name=cloud.region or "us-east-1", **keys)
        if urlsplit(cloud.endpoint_url).hostname in LOOPBACK:
            config = config.merge(Config(proxies={}))  # a proxy does not lead to this machine
        return stand_in.client(service, endpoint_url=cloud.endpoint_url, config=config)
    session = _session(profile_name=cloud.profile, region_name=cloud.region)
    if cloud.role_arn:
        session = _assume(session, cloud.role_arn, where)
    return session.client(service, endpoint_url=cloud.endpoint_url, config=config)


@cache
def _service_data() -> Any:
    """What botocore reads of AWS' services from its files: the same for every session of this process."""
    from botocore.session import get_session

    return get_session().get_component("data_loader")


def _session(**asked: Any) -> Any:
    """A session with credentials of its own that does not read those files again: 8 ms a client, not 60 to 170."""
    import boto3
    from botocore.session import get_session

    inner, data = get_session(), _service_data()
    inner.register_component("data_loader", data)
    made = boto3.Session(botocore_session=inner, **asked)
    data.search_paths[:] = dict.fromkeys(data.search_paths)  # to which every session of boto3 adds its own
    return made


def _assume(session: Any, role_arn: str, where: str) -> Any:
    """A session whose credentials are those of a role, renewed by themselves before they expire."""
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    source = session.get_credentials()
    if source is None:
        raise NotConfigured(f"no AWS credentials to assume {role_arn} with", where=where, fix="run `aws configure`")
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=session._session.create_client,
        source_credentials=source,
        role_arn=role_arn,
        extra_args={"RoleSessionName": "continuum"},
    )
    made = _session(region_name=session.region_name)
    made._session._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, method="assume-role")
    return made


@contextmanager
def aws_errors(where: str, fixes: Fixes) -> Iterator[None]:
    """Turn every failure of boto3 into one error of ours; `fixes` says how to mend those that the service answers."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _of_client_error(error, where, fixes) from None
    except BotoCoreError as error:
        kind, what, fix = SDK_ERRORS.get(type(error).__name__, (Unreachable, "no usable answer from AWS", "try again"))
        raise kind(f"{what} ({type(error).__name__})", where=where, fix=fix) from None
    except (ResponseParserError, KeyError, TypeError):
        raise Unreachable(
            "an answer that is not AWS' (an HTML page?)", where=where, fix="check cloud.endpoint_url and the proxy"
        ) from None


def _of_client_error(error: Any, where: str, fixes: Fixes) -> ContinuumError:
    said = error.response.get("Error") or {}
    message = str(said.get("Message") or "").encode()
    kind = CODES.get(str(said.get("Code")))
    if kind is None:
        status = (error.response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 500
        return of_status(status, message, where=where)
    return kind(f"{said['Code']}: {excerpt(message)}", where=where, fix=fixes.get(kind, "look at it again"))
