"""The one place that makes HTTP sessions: time-outs, retries, credentials, TLS, proxies, and each failure's meaning."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3 import exceptions as transport
from urllib3.util.retry import Retry

from blocks.credentials import secret_text
from blocks.errors import (
    Conflict,
    ContinuumError,
    InvalidInput,
    NotConfigured,
    NotFound,
    Throttled,
    TimedOut,
    Unauthorized,
    Unreachable,
)

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})  # PUT and DELETE carry preconditions here: a repeat may lie
RETRIED_STATUS = frozenset({429, 502, 503, 504})
STAND_IN = "stand-in"  # what plain-http cloud endpoints get instead of a credential, which never travels in clear
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_MALFORMED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.MissingSchema,
)

_BY_STATUS: dict[int, tuple[type[ContinuumError], str]] = {
    400: (InvalidInput, "correct the request that the message names"),
    401: (Unauthorized, "give a valid token or user and password"),
    403: (Unauthorized, "grant the right that the message names to this user"),
    404: (NotFound, "check the name and the URL"),
    408: (TimedOut, "read the state again before repeating it"),
    409: (Conflict, "read the state again and decide anew"),
    410: (NotFound, "list again from the start"),
    412: (Conflict, "read the state again and decide anew"),
    422: (InvalidInput, "correct the field that the message names"),
    504: (TimedOut, "read the state again before repeating it"),
}


def retry_policy(retries: int = 3, backoff_s: float = 0.2) -> Retry:
    """Retries with exponential back-off (0.2, 0.4, 0.8 s ... at most 5 s) of requests that change nothing.

    A connection that never opened is tried again whatever the method, because nothing was sent.
    A read time-out is tried again once: three times would hold the caller for two minutes.
    """
    return Retry(
        total=retries,
        connect=retries,
        read=min(1, retries),
        status=retries,
        other=0,
        backoff_factor=backoff_s,
        backoff_max=5,
        retry_after_max=10,
        status_forcelist=RETRIED_STATUS,
        allowed_methods=IDEMPOTENT,
        raise_on_status=False,
    )


class _NoAuth(AuthBase):
    """Stands for "no credentials": without it requests would take some from ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class BearerAuth(AuthBase):
    """`Authorization: Bearer ...`; never shown."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Session(requests.Session):
    """A session with default time-outs whose own CA always wins over REQUESTS_CA_BUNDLE."""

    timeout_s = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or self.timeout_s
        return super().send(request, **kwargs)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        settings = dict(super().merge_environment_settings(url, proxies, stream, verify, cert))
        if self.verify is not True:
            settings["verify"] = self.verify
        if urlsplit(str(url)).hostname in LOOPBACK:
            settings["proxies"] = {}
        return settings

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Drop the credentials when a redirect leaves the host; requests would look into ~/.netrc for others."""
        strip: bool = self.should_strip_auth(response.request.url, prepared_request.url)  # type: ignore[no-untyped-call]
        if strip:
            prepared_request.headers.pop("Authorization", None)


def session(
    *,
    auth: AuthBase | None = None,
    ca_file: str | None = None,
    verify_tls: bool = True,
    timeout_s: float = READ_TIMEOUT_S,
    retry: Retry | None = None,
) -> requests.Session:
    """A session as all blocks use it.

    Parameters
    ----------
    auth :
        see `credentials`; none is taken from ~/.netrc.
    ca_file :
        PEM file that signs the server; wins over REQUESTS_CA_BUNDLE. Proxies still come from the environment.
    verify_tls :
        False accepts any certificate.
    timeout_s :
        longest wait for the next byte, seconds; connecting may take `CONNECT_TIMEOUT_S`.
    retry :
        default `retry_policy()`.

    Raises
    ------
    NotConfigured: `ca_file` is not there.
    """
    if ca_file and not Path(ca_file).expanduser().is_file():
        raise NotConfigured(f"CA file {ca_file} is not there", fix="set ca_file to a readable PEM file")
    made = _Session()
    made.timeout_s = (CONNECT_TIMEOUT_S, timeout_s)
    made.auth = auth or _NoAuth()
    made.verify = (str(Path(ca_file).expanduser()) if ca_file else True) if verify_tls else False
    for scheme in ("http://", "https://"):
        made.mount(scheme, HTTPAdapter(max_retries=retry or retry_policy()))
    return made


def credentials(
    *, username: str | None = None, password: SecretStr | None = None, token: SecretStr | None = None, where: str
) -> AuthBase | None:
    """Bearer auth where a token is given, else basic auth where a user is given, else None."""
    if bearer := secret_text(token, where=where):
        return BearerAuth(bearer)
    if username:
        return HTTPBasicAuth(username, secret_text(password, where=where) or "")
    return None


def fetch_json(http: requests.Session, method: str, url: str, *, where: str, **kwargs: Any) -> Any:
    """The JSON document that `url` answers with a 2xx status.

    Raises
    ------
    ContinuumError: the kind that fits: `Unreachable` (no connection, 5xx, HTML where JSON was expected), `TimedOut`,
        `Unauthorized`, `NotFound`, `Conflict`, `Throttled`, `InvalidInput`. No message holds a credential.
    """
    response = fetch(http, method, url, where=where, **kwargs)
    try:
        return response.json()
    except requests.exceptions.JSONDecodeError:
        raise not_json(_without_credentials(response), where=where) from None


def fetch(http: requests.Session, method: str, url: str, *, where: str, **kwargs: Any) -> requests.Response:
    """What `url` answers with a 2xx status; raises as `fetch_json`."""
    try:
        response = http.request(method, url, **kwargs)
    except requests.RequestException as error:
        raise of_request(error, where=where) from None
    if not response.ok:
        retry_after = response.headers.get("Retry-After")
        raise of_status(response.status_code, _without_credentials(response), where=where, retry_after=retry_after)
    return response


def of_status(status: int, body: bytes, *, where: str, retry_after: str | None = None) -> ContinuumError:
    """The error that a status of 300 or more stands for.

    >>> of_status(503, b"<html><title>Bad gateway</title>", where="metrics")
    Unreachable('status 503 with an HTML page (Bad gateway)')
    """
    said = excerpt(body)
    what = f"status {status}" + (f" {said}" if said.startswith("with ") else f": {said}" if said else "")
    if status == 429:
        return Throttled(what, retry_after_s=_seconds(retry_after), where=where, fix="ask less often")
    kind, fix = _BY_STATUS.get(status, (Unreachable, "check the URL, the proxy and whether the server is up"))
    return kind(what, where=where, fix=fix, retryable=None if status >= 500 or kind is not Unreachable else False)


def not_json(body: bytes, *, where: str) -> ContinuumError:
    """The error for a success status whose body is no JSON: most often a proxy's or a login page."""
    said = excerpt(body) or "an empty body"
    return Unreachable(f"an answer that is not JSON: {said}", where=where, fix="check the URL and the proxy")


def of_request(error: requests.RequestException, *, where: str) -> ContinuumError:
    """The error that a failure of requests stands for."""
    if isinstance(error, _MALFORMED):
        return InvalidInput("the URL or a header is malformed", where=where, fix="write it as https://host[:port]")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Unreachable(
            f"no connection within {CONNECT_TIMEOUT_S:g} s", where=where, fix="check the address and the firewall"
        )
    cause = error.args[0] if error.args else error
    if isinstance(error, requests.exceptions.Timeout):
        cause = transport.TimeoutError()
    return of_transport(cause, where=where)


def of_transport(error: object, *, where: str) -> ContinuumError:
    """The error that a failure of urllib3 (or one wrapped in `MaxRetryError`) stands for."""
    cause = getattr(error, "reason", None) if isinstance(error, transport.MaxRetryError) else error
    if isinstance(cause, transport.SSLError):
        return Unreachable(
            "the TLS certificate is not trusted", where=where, fix="set ca_file to its issuer", retryable=False
        )
    if isinstance(cause, transport.ProxyError):
        return Unreachable("the proxy does not answer", where=where, fix="check HTTPS_PROXY and NO_PROXY")
    if isinstance(cause, transport.TimeoutError) and not isinstance(cause, transport.ConnectTimeoutError):
        return TimedOut("no answer in time", where=where, fix="read the state again before repeating it")
    kind = type(cause).__name__ if cause is not None else type(error).__name__
    return Unreachable(f"no connection ({kind})", where=where, fix="check the address and whether it is up")


def excerpt(body: bytes, limit: int = 200) -> str:
    """One line a person can use out of a body: its `message` or `error` field, an HTML title, or its first words.

    >>> excerpt(b'{"message": "pods not found", "code": 404}'), excerpt(b"<html><title>Sign in</title></html>")
    ('pods not found', 'with an HTML page (Sign in)')
    """
    text = body[:20_000].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", text, re.DOTALL | re.IGNORECASE)
        return "with an HTML page" + (f" ({' '.join(title[1].split())[:80]})" if title else "")
    try:
        document = json.loads(text)
    except ValueError:
        document = text
    while isinstance(document, dict):
        document = next((document[key] for key in ("message", "error", "detail") if document.get(key)), "")
    return " ".join(str(document).split())[:limit]


def shown(url: str) -> str:
    """A URL without its user, password and query, fit for messages.

    >>> shown("https://me:pw@prometheus.example:9090/prom?token=x")
    'https://prometheus.example:9090/prom'
    """
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _without_credentials(response: requests.Response) -> bytes:
    """The body, without the credentials that some debugging proxies echo."""
    sent = response.request.headers.get("Authorization", "")
    return response.content.replace(sent.split(" ", 1)[-1].encode(), b"***") if sent else response.content


def _seconds(retry_after: str | None) -> float:
    """Seconds of a Retry-After header; 1 where it is absent or a date."""
    return min(float(retry_after), 60.0) if retry_after and retry_after.isdigit() else 1.0
