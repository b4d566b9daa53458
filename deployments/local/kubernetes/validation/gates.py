"""Scheduling gates: what may change while a pod has some, and that no new ones come."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.status import FORBIDDEN, Cause
from deployments.local.kubernetes.trees import dig, with_value

Json = dict[str, Any]

_REQUIRED = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")


def created(spec: Json) -> list[Cause]:
    """Faults of a new pod's gates."""
    if spec.get("schedulingGates") and spec.get("nodeName"):
        return [Cause(FORBIDDEN, "spec.nodeName", "cannot be set until all schedulingGates have been cleared")]
    return []


def added(new: Json, old: Json) -> list[Cause]:
    """Gates that an update of a pod's spec adds."""
    known = [gate.get("name") for gate in old.get("schedulingGates", ())]
    return [
        Cause(FORBIDDEN, f"spec.schedulingGates[{index}]",
              f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'")
        for index, gate in enumerate(new.get("schedulingGates", ())) if gate.get("name") not in known
    ]  # fmt: skip


def without_permitted(new: Json, old: Json) -> Json:
    """A pod's new spec with what its gates let anybody change set back to the old state.

    Gates may be removed. A pod with gates may be confined to fewer nodes: more labels in its selector, more
    expressions in each term of its required node affinity, any preferences (ValidatePodUpdate).
    """
    mended = _like(new, old, ("schedulingGates",))
    if not old.get("schedulingGates"):
        return mended
    if old.get("nodeSelector", {}).items() <= new.get("nodeSelector", {}).items():
        mended = _like(mended, old, ("nodeSelector",))
    if _confines(dig(new, *_REQUIRED, "nodeSelectorTerms"), dig(old, *_REQUIRED, "nodeSelectorTerms")):
        mended = _like(mended, old, ("affinity", "nodeAffinity"))
        if not mended.get("affinity") and "affinity" not in old:
            mended = with_value(mended, ("affinity",), None)
    return mended


def _like(new: Json, old: Json, path: tuple[str, ...]) -> Json:
    value = dig(old, *path)
    return new if value is None and dig(new, *path) is None else with_value(new, path, value)


def _confines(new: list[Json] | None, old: list[Json] | None) -> bool:
    """Whether required terms let no node in that the old ones kept out."""
    if old is None:
        return True
    if new is None or len(new) != len(old):
        return False
    return all(
        all(entry in after.get(part, ()) for entry in before.get(part, ()))
        for before, after in zip(old, new, strict=True) for part in ("matchExpressions", "matchFields")
    )  # fmt: skip
