"""Rules that hold for the metadata of every object: names, labels, annotations, owners, identity."""

from __future__ import annotations

import re
from typing import Any

from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.status import FORBIDDEN, INVALID, REQUIRED, TOO_LONG, Cause

Json = dict[str, Any]

MAX_ANNOTATIONS = 256 * 1024
"""Bytes of all annotations together."""

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SERVICE = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_PATH_SEGMENT = re.compile(r"^(?!\.{1,2}$)[^/%]+\Z")
_QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")
_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?\Z")

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
    causes += check_labels(metadata.get("labels", {}), "metadata.labels")
    for key in metadata.get("annotations", {}):
        causes += qualified("metadata.annotations", key.lower())
    for index, owner in enumerate(metadata.get("ownerReferences", ())):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                path = f"metadata.ownerReferences[{index}].{field}"
                causes.append(Cause(INVALID, path, f'"": {field} must not be empty'))
    if sum(1 for owner in metadata.get("ownerReferences", ()) if owner.get("controller")) > 1:
        why = "Only one reference can have Controller set to true"
        causes.append(Cause(INVALID, "metadata.ownerReferences", why))
    size = sum(len(key) + len(value) for key, value in metadata.get("annotations", {}).items())
    if size > MAX_ANNOTATIONS:
        causes.append(Cause(TOO_LONG, "metadata.annotations", f"may not be more than {MAX_ANNOTATIONS} bytes"))
    for finalizer in metadata.get("finalizers", ()):
        if finalizer not in ("orphan", "foregroundDeletion", "kubernetes"):
            causes += qualified("metadata.finalizers", finalizer)
    return causes


def check_labels(labels: dict[str, str], path: str) -> list[Cause]:
    """Faults of a map of labels."""
    causes = []
    for key, value in labels.items():
        causes += qualified(path, key)
        if len(value) > 63 or not _VALUE.match(value):
            causes.append(Cause(INVALID, path, f'"{value}": {_VALUE_RULE}'))
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


def qualified(field: str, key: str) -> list[Cause]:
    """Faults of a qualified name, such as a label's key."""
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
