"""Who else writes an object: a person's hands-off mark, Argo CD or Flux. Pure; works on plain API objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MANAGED_BY = "app.kubernetes.io/managed-by"  # label of every object of ours, with this value
OURS = "continuum"
HANDS_OFF = "continuum.io/hands-off"
HANDS_OFF_KEYS = (HANDS_OFF, "continuum-io-hands-off")  # Azure tags and GCP labels allow no dot and slash
NO = frozenset({"false", "no", "0", "off"})

# Marks that each tool leaves on what it applies: labels, annotations (also used for cloud tags) ...
OWNER_KEYS: tuple[tuple[str, str], ...] = (
    ("argocd.argoproj.io/tracking-id", "argo-cd"),
    ("argocd.argoproj.io/instance", "argo-cd"),
    ("kustomize.toolkit.fluxcd.io/name", "flux"),
    ("helm.toolkit.fluxcd.io/name", "flux"),
)
# ... and the names under which they write fields (metadata.managedFields[].manager).
OWNER_MANAGERS: dict[str, str] = {
    "argocd-controller": "argo-cd",
    "argocd-application-controller": "argo-cd",
    "kustomize-controller": "flux",
    "helm-controller": "flux",
}


def is_hands_off(marks: Mapping[str, str]) -> bool:
    """Whether annotations, labels or cloud tags carry the hands-off mark; an empty value counts as yes.

    >>> is_hands_off({"continuum.io/hands-off": ""}), is_hands_off({"continuum.io/hands-off": "false"})
    (True, False)
    """
    return any(key in marks and str(marks[key]).lower() not in NO for key in HANDS_OFF_KEYS)


def owner_of_marks(marks: Mapping[str, str]) -> str | None:
    """The tool whose label, annotation or tag is among `marks`.

    >>> owner_of_marks({"helm.toolkit.fluxcd.io/name": "web"})
    'flux'
    """
    return next((tool for key, tool in OWNER_KEYS if key in marks), None)


def owner(obj: Mapping[str, Any]) -> str | None:
    """`hands-off`, `argo-cd` or `flux` where one of them claims the object, else None.

    >>> owner({"metadata": {"managedFields": [{"manager": "argocd-controller"}]}})
    'argo-cd'
    """
    metadata = obj.get("metadata") or {}
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    if is_hands_off(marks):
        return "hands-off"
    if tool := owner_of_marks(marks):
        return tool
    managers = [entry.get("manager") for entry in metadata.get("managedFields") or ()]
    return next((OWNER_MANAGERS[name] for name in managers if name in OWNER_MANAGERS), None)
