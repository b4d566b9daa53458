"""Services and what stands behind and before them."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.printing.columns import AGE, NAME, NONE, Column, field, labels_text, shortened, shows
from deployments.local.kubernetes.selectors import as_text
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

_UNSET = "<unset>"


def _balancers(obj: Json) -> str:
    entries = dig(obj, "status", "loadBalancer", "ingress", default=())
    return ",".join(str(entry.get("ip") or entry.get("hostname", "")) for entry in entries)


def _external(service: Json) -> str:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    found = [part for part in (_balancers(service), *spec.get("externalIPs", ())) if part]
    if spec.get("type") == "LoadBalancer":
        return ",".join(found) or "<pending>"
    return ",".join(spec.get("externalIPs", ())) or NONE


def _ports(service: Json) -> str:
    words = []
    for port in dig(service, "spec", "ports", default=()):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        words.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(words) or NONE


def _slice_ports(part: Json) -> str:
    return shortened([str(port.get("port", "*")) for port in part.get("ports", ())], 3) or _UNSET


def _endpoints(part: Json) -> str:
    return shortened([one for entry in part.get("endpoints", ()) for one in entry["addresses"]], 3) or _UNSET


def _hosts(ingress: Json) -> str:
    hosts = [rule["host"] for rule in dig(ingress, "spec", "rules", default=()) if rule.get("host")]
    return shortened(hosts, 3) or "*"


COLUMNS: dict[str, list[Column]] = {
    "services": [
        NAME, field("Type", "spec", "type"), field("Cluster-IP", "spec", "clusterIP"), shows("External-IP", _external),
        shows("Port(s)", _ports), AGE,
        shows("Selector", lambda obj: labels_text(dig(obj, "spec", "selector")), wide=True),
    ],
    "endpointslices.discovery.k8s.io": [
        NAME, field("AddressType", "addressType"), shows("Ports", _slice_ports), shows("Endpoints", _endpoints), AGE,
    ],
    "ingresses.networking.k8s.io": [
        NAME, field("Class", "spec", "ingressClassName"), shows("Hosts", _hosts), shows("Address", _balancers),
        shows("Ports", lambda obj: "80, 443" if dig(obj, "spec", "tls") else "80"), AGE,
    ],
    "networkpolicies.networking.k8s.io": [
        NAME, shows("Pod-Selector", lambda obj: as_text(dig(obj, "spec", "podSelector")) or NONE), AGE,
    ],
}  # fmt: skip
