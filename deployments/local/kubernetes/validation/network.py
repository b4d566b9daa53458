"""Rules for Services, Ingresses and NetworkPolicies."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from deployments.local.kubernetes.status import DUPLICATE, FORBIDDEN, INVALID, REQUIRED, Cause
from deployments.local.kubernetes.trees import dig
from deployments.local.kubernetes.validation.metadata import check_labels
from deployments.local.kubernetes.validation.pods import DNS_LABEL
from deployments.local.kubernetes.validation.selectors import label_selector, port_number, supported

Json = dict[str, Any]

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_SERVICE_CHOICES = {
    "type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    "sessionAffinity": ("ClientIP", "None"),
    "internalTrafficPolicy": ("Cluster", "Local"),
    "externalTrafficPolicy": ("Cluster", "Local"),
}
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


def service(obj: Json) -> list[Cause]:
    """Faults of a Service."""
    spec = obj["spec"]
    causes = [cause for field, allowed in _SERVICE_CHOICES.items()
              for cause in supported(f"spec.{field}", spec.get(field), allowed)]  # fmt: skip
    causes += check_labels(spec.get("selector", {}), "spec.selector")
    named = spec.get("type") == "ExternalName"
    if named and not _SUBDOMAIN.match(spec.get("externalName", "").removesuffix(".")):
        causes.append(Cause(REQUIRED if not spec.get("externalName") else INVALID, "spec.externalName"
                            , f'"{spec.get("externalName", "")}": a DNS name'))  # fmt: skip
    if named and spec.get("clusterIP"):
        why = f"\"{spec['clusterIP']}\": may not be set when `type` is 'ExternalName'"
        causes.append(Cause(FORBIDDEN, "spec.clusterIPs[0]", why))
    if spec.get("clusterIP") == "None" and spec.get("type") in ("NodePort", "LoadBalancer"):
        causes.append(
            Cause(INVALID, "spec.clusterIPs[0]", f"\"None\": may not be set to 'None' for {spec['type']} services")
        )
    if not spec.get("ports") and not named and spec.get("clusterIP") != "None":
        causes.append(Cause(REQUIRED, "spec.ports"))
    return [*causes, *_service_ports(spec)]


def _service_ports(spec: Json) -> list[Cause]:
    causes, names, places = [], set(), set()
    for index, port in enumerate(spec.get("ports", ())):
        path, name = f"spec.ports[{index}]", port.get("name", "")
        causes += port_number(f"{path}.port", port.get("port", 0))
        if isinstance(port.get("targetPort"), int):
            causes += port_number(f"{path}.targetPort", port["targetPort"])
        causes += supported(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
        if len(spec["ports"]) > 1 and not name:
            causes.append(Cause(REQUIRED, f"{path}.name"))
        elif name and not DNS_LABEL.match(name):
            causes.append(Cause(INVALID, f"{path}.name", f'"{name}": must be a DNS label'))
        elif name and name in names:
            causes.append(Cause(DUPLICATE, f"{path}.name", f'"{name}"'))
        place = (port.get("port"), port.get("protocol"))
        if place in places:
            causes.append(Cause(DUPLICATE, path, str(place)))
        if port.get("nodePort") and spec.get("type") not in ("NodePort", "LoadBalancer"):
            causes.append(Cause(FORBIDDEN, f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        names.add(name)
        places.add(place)
    return causes


def ingress(obj: Json) -> list[Cause]:
    """Faults of an Ingress."""
    spec, causes = obj["spec"], []
    if not spec.get("rules") and "defaultBackend" not in spec:
        causes.append(Cause(INVALID, "spec", "either `defaultBackend` or `rules` must be specified"))
    if "defaultBackend" in spec:
        causes += _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules", ())):
        path, host = f"spec.rules[{index}]", rule.get("host", "")
        if host and not _SUBDOMAIN.match(host.removeprefix("*.")):
            causes.append(Cause(INVALID, f"{path}.host", f'"{host}": a DNS name, perhaps with "*." in front'))
        if "http" in rule and not rule["http"].get("paths"):
            causes.append(Cause(REQUIRED, f"{path}.http.paths"))
        for number, entry in enumerate(dig(rule, "http", "paths", default=())):
            causes += _ingress_path(entry, f"{path}.http.paths[{number}]")
    return causes


def _ingress_path(entry: Json, path: str) -> list[Cause]:
    kind = entry.get("pathType")
    if kind is None:
        causes = [Cause(REQUIRED, f"{path}.pathType", "pathType must be specified")]
    else:
        causes = supported(f"{path}.pathType", kind, _PATH_TYPES)
    text = entry.get("path", "")
    if kind in ("Exact", "Prefix") and not text.startswith("/"):
        causes.append(Cause(INVALID, f"{path}.path", f'"{text}": must be an absolute path'))
    return [*causes, *_backend(entry.get("backend", {}), f"{path}.backend")]


def _backend(backend: Json, path: str) -> list[Cause]:
    service_, resource = backend.get("service"), backend.get("resource")
    if service_ is None and resource is None:
        return [Cause(REQUIRED, path, "service or resource must be specified")]
    if service_ is not None and resource is not None:
        return [Cause(INVALID, path, "cannot set both resource and service backends")]
    if service_ is None:
        return []
    causes = [] if service_.get("name") else [Cause(REQUIRED, f"{path}.service.name")]
    port = service_.get("port", {})
    if not port:
        causes.append(Cause(REQUIRED, f"{path}.service.port", "port name or number is required"))
    elif len(port) > 1:
        causes.append(Cause(INVALID, f"{path}.service.port", "cannot set both port name & port number"))
    elif "number" in port:
        causes += port_number(f"{path}.service.port.number", port["number"])
    return causes


def network_policy(obj: Json) -> list[Cause]:
    """Faults of a NetworkPolicy."""
    spec = obj["spec"]
    causes = label_selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction, ())):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports", ())):
                causes += _policy_port(port, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers, ())):
                causes += _peer(peer, f"{path}.{peers}[{number}]")
    for index, name in enumerate(spec.get("policyTypes", ())):
        causes += supported(f"spec.policyTypes[{index}]", name, ("Egress", "Ingress"))
    return causes


def _policy_port(port: Json, path: str) -> list[Cause]:
    causes = supported(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
    number, last = port.get("port"), port.get("endPort")
    if isinstance(number, int):
        causes += port_number(f"{path}.port", number)
    if last is not None and (not isinstance(number, int) or last < number):
        causes.append(Cause(INVALID, f"{path}.endPort", f"{last}: must be greater than or equal to `port`"))
    return causes


def _peer(peer: Json, path: str) -> list[Cause]:
    if not peer:
        return [Cause(REQUIRED, path, "must specify a peer")]
    causes = [cause for field in ("podSelector", "namespaceSelector")
              for cause in label_selector(peer.get(field), f"{path}.{field}")]  # fmt: skip
    block = peer.get("ipBlock")
    if block is None:
        return causes
    if len(peer) > 1:
        causes.append(Cause(FORBIDDEN, path, "may not specify both ipBlock and another peer"))
    whole = _network(block.get("cidr", ""))
    if whole is None:
        causes.append(Cause(INVALID, f"{path}.ipBlock.cidr", f'"{block.get("cidr", "")}": must be a valid CIDR value'))
    for index, text in enumerate(block.get("except", ())):
        part = _network(text)
        if part is None or whole is None or part.version != whole.version or not part.subnet_of(whole):  # type: ignore[arg-type]
            why = f'"{text}": must be a strict subset of `cidr`'
            causes.append(Cause(INVALID, f"{path}.ipBlock.except[{index}]", why))
    return causes


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None
