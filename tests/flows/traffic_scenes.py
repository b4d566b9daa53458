"""Routes on a simulated cluster, and the definitions of the kinds that they are of."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from blocks.errors import Conflict
from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = {"httproutes": ("gateway.networking.k8s.io", "HTTPRoute"),
         "virtualservices": ("networking.istio.io", "VirtualService")}  # fmt: skip
PATHS = {
    "httproutes": "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes",
    "virtualservices": "/apis/networking.istio.io/v1/namespaces/default/virtualservices",
    "ingresses": "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
}
CANARY = "nginx.ingress.kubernetes.io/canary"


def api_of(fleet: Fleet, cluster: str = "edge-munich") -> KubernetesApi:
    return KubernetesApi.connect(resolve_secrets(next(each for each in fleet.clusters if each.name == cluster)))


def make(api: KubernetesApi, plural: str, name: str, weights: dict[str, int], **more: Any) -> None:
    """A route of any kind, in place of what has its name; `more`: labels of it."""
    if plural in KINDS:
        group, kind = KINDS[plural]
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        with suppress(Conflict):
            api.request("POST", CRDS, body={
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.{group}"},
                "spec": {"group": group, "scope": "Namespaced", "versions": [version],
                         "names": {"plural": plural, "kind": kind, "singular": kind.lower()}},
            })  # fmt: skip
    api.delete_at(PATHS[plural], name)
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "labels": {"team": "shop", **more}}
    body: dict[str, Any] = {"metadata": metadata}
    if plural == "httproutes":
        refs = [{"name": backend, "port": 80, "weight": weight} for backend, weight in weights.items()]
        body |= {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                 "spec": {"hostnames": ["shop.example"], "rules": [{"backendRefs": refs}]}}  # fmt: skip
    elif plural == "virtualservices":
        refs = [{"destination": {"host": backend}, "weight": weight} for backend, weight in weights.items()]
        body |= {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                 "spec": {"hosts": ["shop.example"], "http": [{"route": refs, "timeout": "3s"}]}}  # fmt: skip
    else:
        metadata["annotations"] = {CANARY: "true", f"{CANARY}-weight": str(weights["canary"])}
        backend = {"service": {"name": "shop", "port": {"number": 80}}}
        body |= {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {"defaultBackend": backend}}
    api.request("POST", PATHS[plural], body=body)


def stored(api: KubernetesApi, plural: str, name: str) -> dict[str, Any]:
    return api.request("GET", f"{PATHS[plural]}/{name}")
