"""One API server through the official client: any request, lists in pages, guarded patches, one error tree."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from urllib3.exceptions import HTTPError

from blocks.credentials import secret_text
from blocks.errors import Conflict, InvalidInput, NotConfigured, NotFound, Unreachable
from blocks.fleet import Cluster
from blocks.http import CONNECT_TIMEOUT_S, LOOPBACK, not_json, of_status, of_transport, retry_policy
from blocks.kubeconfig import kubeconfig_of
from blocks.sightings import Context

Object = dict[str, Any]
Objects = list[Object]

PAGE = 500
READ_TIMEOUT_S = 30.0
CONNECTIONS = 32  # kept open: moves of one wave share a cluster's API
RESTARTS = 3  # of a list whose continue token expired

# Resource (plural) -> API prefix and whether it lives in a namespace.
RESOURCES: dict[str, tuple[str, bool]] = {
    "nodes": ("/api/v1", False),
    "namespaces": ("/api/v1", False),
    "pods": ("/api/v1", True),
    "configmaps": ("/api/v1", True),
    "secrets": ("/api/v1", True),
    "services": ("/api/v1", True),
    "serviceaccounts": ("/api/v1", True),
    "deployments": ("/apis/apps/v1", True),
    "statefulsets": ("/apis/apps/v1", True),
    "replicasets": ("/apis/apps/v1", True),
    "daemonsets": ("/apis/apps/v1", True),
    "jobs": ("/apis/batch/v1", True),
    "cronjobs": ("/apis/batch/v1", True),
    "horizontalpodautoscalers": ("/apis/autoscaling/v2", True),
    "scaledobjects": ("/apis/keda.sh/v1alpha1", True),
    "priorityclasses": ("/apis/scheduling.k8s.io/v1", False),
    "poddisruptionbudgets": ("/apis/policy/v1", True),
    "networkpolicies": ("/apis/networking.k8s.io/v1", True),
    "ingresses": ("/apis/networking.k8s.io/v1", True),
    "httproutes": ("/apis/gateway.networking.k8s.io/v1", True),
    "rolebindings": ("/apis/rbac.authorization.k8s.io/v1", True),
    "clusterrolebindings": ("/apis/rbac.authorization.k8s.io/v1", False),
    "leases": ("/apis/coordination.k8s.io/v1", True),
    "selfsubjectaccessreviews": ("/apis/authorization.k8s.io/v1", False),
}

PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


def path_of(resource: str, name: str = "", namespace: str | None = None, subresource: str = "") -> str:
    """Path of a resource, one object or its subresource; all namespaces where a namespaced one names none.

    >>> path_of("pods", "web-1", "shop", "eviction")
    '/api/v1/namespaces/shop/pods/web-1/eviction'
    """
    prefix, namespaced = RESOURCES[resource]
    parts = ["namespaces", namespace] if namespaced and namespace else []
    parts += [part for part in (resource, name, subresource) if part]
    return prefix + "".join(f"/{quote(part, safe='')}" for part in parts)


class Connection:
    """Requests to one API server. Objects are plain dicts as the API sends them."""

    def __init__(
        self,
        name: str,
        client: Any,
        *,
        page: int = PAGE,
        timeout_s: float = READ_TIMEOUT_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._client, self._page, self._timeout_s = client, page, timeout_s
        self._now, self._clock, self._sleep = now, clock, sleep
        self._where = f"cluster {name}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @classmethod
    def connect(cls, cluster: Cluster) -> Self:
        """The API of a cluster, by server and token, or by kubeconfig context (default: the cluster's own name).

        The current context is never assumed: in a fleet it would send one cluster's writes to another.

        Raises
        ------
        NotConfigured: no such context, kubeconfig, CA file or environment variable.
        """
        return cls(cluster.name, _client(cluster))

    @classmethod
    def of_context(cls, context: Context) -> Self:
        """The API of a kubeconfig's context, with one attempt a request: discovery passes over what does not answer.

        Raises
        ------
        NotConfigured: the context is incomplete, or its credentials cannot be loaded.
        """
        from kubernetes import config

        try:
            client = config.new_client_from_config_dict(context.document, context.name, persist_config=False)
        except (config.ConfigException, OSError, ValueError, KeyError, TypeError):
            fix = f"try `kubectl --context {context.name} get nodes`"
            raise NotConfigured("its credentials cannot be loaded", where=f"context {context.name}", fix=fix) from None
        client.configuration.retries = retry_policy(retries=0)
        client.rest_client = type(client.rest_client)(client.configuration)
        return cls(context.name, client)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        """The JSON object that one request answers.

        Raises
        ------
        ContinuumError: `Unauthorized` 401 403, `NotFound` 404, `Conflict` 409, `InvalidInput` 400 415 422,
            `Throttled` 429, `TimedOut` (a write may have happened), `Unreachable` (5xx, HTML, no connection).
        """
        return _decoded(*self._send(method, path, query, body, content_type), f"{self._where} {method} {path}")

    def get(self, resource: str, name: str, namespace: str | None = None) -> Object:
        """One object; `NotFound` where there is none."""
        return self.request("GET", path_of(resource, name, namespace))

    def list(
        self, resource: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> Objects:
        """All objects of one consistent snapshot, read in pages; begun anew where the snapshot expired (410).

        Raises
        ------
        Conflict: the snapshot expired `RESTARTS` times.
        """
        path = path_of(resource, namespace=namespace)
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        fixed: dict[str, str | int] = {"limit": self._page} | {key: text for key, text in selectors.items() if text}
        for _ in range(RESTARTS):
            items = self._pages(path, fixed)
            if items is not None:
                return items
        raise Conflict(
            f"the list of {resource} expired {RESTARTS} times while it was read",
            where=self._where,
            fix="try again later",
            retryable=True,
        )

    def patch(
        self,
        resource: str,
        name: str,
        body: Any,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        kind: str = "merge",
        subresource: str = "",
    ) -> Object:
        """The patched object.

        With `resource_version` (merge and strategic patches) the server refuses with 409 -> `Conflict` when somebody
        wrote the object since.
        """
        if resource_version is not None:
            if kind == "json":
                raise InvalidInput("a JSON patch carries its version as a `test` operation", where=self._where)
            body = {**body, "metadata": {**(body.get("metadata") or {}), "resourceVersion": resource_version}}
        path = path_of(resource, name, namespace, subresource)
        return self.request("PATCH", path, body=body, content_type=PATCH_TYPES[kind])

    def create(self, resource: str, body: Object, namespace: str | None = None) -> Object:
        """The object as it was stored; `Conflict` where there is one of its name."""
        return self.request("POST", path_of(resource, namespace=namespace), body=body)

    def create_with_namespace(self, resource: str, body: Object, namespace: str) -> Object:
        """The same, making the namespace first where there is none: an admin may have gone without our manifests."""
        try:
            return self.create(resource, body, namespace)
        except NotFound:
            named = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            self.create("namespaces", named)
            return self.create(resource, body, namespace)

    def patch_at(self, path: str, name: str, body: Object, *, resource_version: str = "") -> Object:
        """Merge-patch an object below any path (a custom resource's); `Conflict` where it is no longer that version."""
        if resource_version:
            body = {**body, "metadata": {**(body.get("metadata") or {}), "resourceVersion": resource_version}}
        path = f"{path}/{quote(name, safe='')}"
        return self.request("PATCH", path, body=body, content_type=PATCH_TYPES["merge"])

    def delete_at(self, path: str, name: str, *, resource_version: str = "") -> None:
        """Remove an object below any path; one that is gone counts as removed. `Conflict` as `patch_at`."""
        options: Object = {"preconditions": {"resourceVersion": resource_version}} if resource_version else {}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        with suppress(NotFound):
            self.request("DELETE", f"{path}/{quote(name, safe='')}", body=body)

    def preferred_version(self, group: str) -> str | None:
        """The version of an API group that the server prefers; None where it does not serve the group."""
        try:
            answer = self.request("GET", f"/apis/{quote(group, safe='')}")
        except NotFound:
            return None
        return str((answer.get("preferredVersion") or {}).get("version") or "") or None

    def can(
        self, verb: str, resource: str, *, group: str = "", namespace: str = "", subresource: str = "", name: str = ""
    ) -> bool:
        """Whether this user may do `verb` on `resource` (a SelfSubjectAccessReview; needs no right itself).

        An empty namespace asks for all namespaces (or for a cluster-wide resource).
        """
        asked = {"verb": verb, "resource": resource, "group": group, "namespace": namespace}
        asked |= {"subresource": subresource, "name": name}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: text for key, text in asked.items() if text}},
        }
        answer = self.request("POST", path_of("selfsubjectaccessreviews"), body=body)
        return bool((answer.get("status") or {}).get("allowed"))

    def _pages(self, path: str, fixed: Mapping[str, str | int]) -> Objects | None:
        """The items of all pages, or None where a continue token expired."""
        items: Objects = []
        query = dict(fixed)
        while True:
            status, data, retry_after = self._send("GET", path, query)
            if status == 410 and "continue" in query:
                return None
            answer = _decoded(status, data, retry_after, f"{self._where} GET {path}")
            if "items" not in answer:  # a proxy's page in JSON is no empty list
                raise not_json(data, where=f"{self._where} GET {path}")
            items.extend(answer["items"] or ())
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return items
            query = {**fixed, "continue": token}

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes, str | None]:
        """Status, body and Retry-After of one request through the official client's own authentication."""
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config.config_exception import ConfigException

        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            prepared = self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*prepared, _request_timeout=(CONNECT_TIMEOUT_S, self._timeout_s))
            data = answer.read()
        except HTTPError as error:
            raise of_transport(error, where=f"{self._where} {method} {path}") from None
        except ApiException:
            # The client raises this itself only where TLS failed; statuses are ours to judge.
            raise Unreachable(
                "the TLS certificate is not trusted",
                where=self._where,
                fix="set ca_file to its issuer",
                retryable=False,
            ) from None
        except ConfigException:
            raise NotConfigured(
                "the kubeconfig's credential plug-in failed", where=self._where, fix="run `kubectl get nodes` once"
            ) from None
        token = str(prepared[2].get("authorization", "")).removeprefix("Bearer ")
        return answer.status, data.replace(token.encode(), b"***") if token else data, answer.headers.get("Retry-After")


def _decoded(status: int, data: bytes, retry_after: str | None, where: str) -> Object:
    """The object of an answer, or the error it stands for."""
    if status >= 300:
        raise of_status(status, data, where=where, retry_after=retry_after)
    try:
        document = json.loads(data)
    except ValueError:
        raise not_json(data, where=where) from None
    if not isinstance(document, dict):
        raise not_json(data, where=where)
    if document.get("kind") == "Status" and document.get("status") == "Failure":
        raise of_status(int(document.get("code") or 500), data, where=where)
    return document


def _client(cluster: Cluster) -> Any:
    """The official client, with our retries and nothing written back to the kubeconfig."""
    from kubernetes import client, config

    access, where = cluster.kubernetes, f"cluster {cluster.name}"
    if access.server is None:
        context = access.context or cluster.name
        made = client.Configuration()
        try:
            config.load_kube_config_from_dict(
                kubeconfig_of(context, access.kubeconfig), context, made, persist_config=False
            )
        except (config.ConfigException, OSError, ValueError, KeyError, TypeError):
            raise NotConfigured(
                f"kubeconfig context {context} cannot be loaded",
                where=where,
                fix="set kubernetes.context to one of `kubectl config get-contexts`, or kubernetes.server and token",
            ) from None
    else:
        if access.ca_file and not Path(access.ca_file).expanduser().is_file():
            raise NotConfigured(f"CA file {access.ca_file} is not there", where=where, fix="set ca_file to a PEM file")
        made = client.Configuration(host=access.server.rstrip("/"))
        if token := secret_text(access.token, where=where):
            made.api_key = {"BearerToken": f"Bearer {token}"}
        made.ssl_ca_cert = str(Path(access.ca_file).expanduser()) if access.ca_file else None
    made.retries = retry_policy()
    made.connection_pool_maxsize = CONNECTIONS
    made.no_proxy = ",".join(filter(None, [made.no_proxy, *LOOPBACK]))
    return client.ApiClient(made)
