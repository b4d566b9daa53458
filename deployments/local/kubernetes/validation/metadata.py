"""Rules that hold for the metadata of every object: names, labels, annotations, owners, identity."""

from __future__ import annotations

import re
from typing import Any

from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.status import FORBIDDEN, INVALID, REQUIRED, Cause

Json = dict[str, Any]

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SERVICE = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_PATH_SEGMENT = re.compile(r"^(?!\.{1,2}$)[^/%]+$")
_QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")

_LABEL_RULE = "a name of lower case letters, digits and '-' that begins and ends with a letter or digit"
_SUBDOMAIN_RULE = "a name of lower case letters, digits, '-' and '.' that begins and ends with a letter or digit"
_QUALIFIED_RULE = "the name part is 1 to 63 letters, digits, '-', '_' or '.', a letter or digit at both ends"
_VALUE_RULE = "a label's value is empty, or up to 63 letters, digits, '-', '_' or '.', a letter or digit at both ends"

# Most names are DNS subdomains; these resources are stricter, RBAC's are freer.
_NAME_RULES: dict[str, tuple[re.Pattern[str], str, int]] = {
    "namespaces": (_LABEL, _LABEL_RULE, 63),
    "services": (_SERVICE, "a DNS label that begins with a letter", 63),
    **dict.fromkeys(
        (f"{plural}.rbac.authorization.k8s.io"
         for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")),
        (_PATH_SEGMENT, "a name that may stand in a path", 253),
    ),
}  # fmt: skip
_ANY_NAME = (_SUBDOMAIN, _SUBDOMAIN_RULE, 253)


def check_metadata(kind: Kind, metadata: Json, *, named: bool = True) -> list[Cause]:
    """Faults of an object's metadata taken by itself."""
    causes = _names(kind, metadata) if named else []
    for key, value in metadata.get("labels", {}).items():
        causes += _qualified("metadata.labels", key)
        if len(value) > 63 or not _VALUE.match(value):
            causes.append(Cause(INVALID, "metadata.labels", f'"{value}": {_VALUE_RULE}'))
    for key in metadata.get("annotations", {}):
        causes += _qualified("metadata.annotations", key.lower())
    for index, owner in enumerate(metadata.get("ownerReferences", ())):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                path = f"metadata.ownerReferences[{index}].{field}"
                causes.append(Cause(INVALID, path, f'"": {field} must not be empty'))
    for finalizer in metadata.get("finalizers", ()):
        if finalizer not in ("orphan", "foregroundDeletion", "kubernetes"):
            causes += _qualified("metadata.finalizers", finalizer)
    return causes


def _names(kind: Kind, metadata: Json) -> list[Cause]:
    pattern, rule, length = _NAME_RULES.get(kind.resource, _ANY_NAME)
    causes = []
    prefix = metadata.get("generateName", "")
    if prefix and not pattern.match(re.sub(r"-$", "a", prefix)):
        causes.append(Cause(INVALID, "metadata.generateName", f'"{prefix}": {rule}'))
    name = metadata.get("name", "")
    if not name:
        causes.append(Cause(REQUIRED, "metadata.name", "name or generateName is required"))
    elif len(name) > length:
        causes.append(Cause(INVALID, "metadata.name", f'"{name}": must be no more than {length} characters'))
    elif not pattern.match(name):
        causes.append(Cause(INVALID, "metadata.name", f'"{name}": {rule}'))
    return causes


def _qualified(field: str, key: str) -> list[Cause]:
    prefix, slash, name = key.rpartition("/")
    causes = []
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.match(prefix)):
        causes.append(Cause(INVALID, field, f'"{key}": the prefix part is {_SUBDOMAIN_RULE}'))
    if len(name) > 63 or not _QUALIFIED.match(name):
        causes.append(Cause(INVALID, field, f'"{key}": {_QUALIFIED_RULE}'))
    return causes


def check_metadata_change(new: Json, old: Json) -> list[Cause]:
    """Faults of metadata about to replace other metadata."""
    causes = [
        Cause(INVALID, f"metadata.{field}", f'"{new[field]}": field is immutable')
        for field in ("uid", "creationTimestamp")
        if new.get(field, old.get(field)) != old.get(field)
    ]
    if "deletionTimestamp" in old:
        more = [entry for entry in new.get("finalizers", ()) if entry not in old.get("finalizers", ())]
        if more:
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers {more}"
            causes.append(Cause(FORBIDDEN, "metadata.finalizers", why))
    return causes
