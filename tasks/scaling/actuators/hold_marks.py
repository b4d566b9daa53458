"""The mark that a hold leaves in its own cluster: whoever looks there, or has lost our store, sees what is held up.

A Lease, as it says what a Lease says: who wants something, and for how long. One format for every cloud, since not all
of them let a pool carry notes.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from blocks.errors import ContinuumError, NotFound
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import path_of
from blocks.store.tables import Hold
from tasks.scaling.actuators.pause_pods import EXPIRES_AT, MANAGED_BY, NAMESPACE, OURS

LEASES = path_of("leases", namespace=NAMESPACE)
HELD = "continuum.io/held"

logger = logging.getLogger(__name__)


class Held(BaseModel):
    """What the annotation `continuum.io/held` says, beside the expiry."""

    subject: str
    kind: str
    fleet: str
    value: dict[str, int]
    base: dict[str, int]


def leave(api: KubernetesApi, hold: Hold) -> None:
    """Write the mark; a cluster that does not take it is told of and holds all the same: the store is the authority."""
    held = Held.model_validate(hold.model_dump(include=set(Held.model_fields)))
    notes = {EXPIRES_AT: hold.until.isoformat(), HELD: held.model_dump_json()}
    name = mark_name(hold)
    try:
        try:
            api.patch_at(LEASES, name, {"metadata": {"annotations": notes}})
        except NotFound:
            body = _lease(name, notes)
            try:
                api.create("leases", body, NAMESPACE)
            except NotFound:  # no such namespace
                api.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
                api.create("leases", body, NAMESPACE)
    except ContinuumError as error:
        logger.warning("the expiry of what is held up in %s is in our store only: %s", hold.subject, error)


def remove(api: KubernetesApi, hold: Hold) -> None:
    """Take the mark away; one that stays expires by what it says."""
    try:
        api.delete_at(LEASES, mark_name(hold))
    except ContinuumError as error:
        logger.warning("%s", error)


def marked(api: KubernetesApi, cluster: str, fleet: str) -> list[Hold]:
    """What the marks in a cluster say of one fleet's holds there; a mark that cannot be read is told of and left.

    Raises
    ------
    ContinuumError: the cluster cannot be asked.
    """
    found = []
    for lease in api.list("leases", NAMESPACE, label_selector=f"{MANAGED_BY}={OURS}"):
        notes = lease["metadata"].get("annotations") or {}
        if HELD not in notes:
            continue
        try:
            held = Held.model_validate_json(notes[HELD])
            until = datetime.fromisoformat(notes[EXPIRES_AT])
            if until.tzinfo is None:
                raise ValueError("no time zone")
        except (ValidationError, KeyError, ValueError):
            logger.warning("cluster %s: lease %s/%s is no mark that can be read; remove it if nobody misses it",
                           cluster, NAMESPACE, lease["metadata"]["name"])  # fmt: skip
            continue
        if held.fleet == fleet and held.subject.split("/", 1)[0] == cluster:
            found.append(Hold(**held.model_dump(), until=until))
    return found


def mark_name(hold: Hold) -> str:
    """Name of a hold's mark: a pool's name may hold capitals and `_`, an object's may not.

    >>> mark_name(Hold(subject="asia/Jobs_1", kind="set-node-pool-floor", fleet="default"))
    'held-node-pool-floor-jobs-1'
    """
    pool = hold.subject.split("/", 1)[-1]
    return re.sub(r"[^a-z0-9.-]", "-", f"held-{hold.kind.removeprefix('set-')}-{pool}".lower())


def _lease(name: str, notes: dict[str, str]) -> dict[str, Any]:
    """A Lease that locks nothing: its annotations are what counts, in the fleet's own time."""
    subject = json.loads(notes[HELD])["subject"]
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": {MANAGED_BY: OURS}, "annotations": notes},
        "spec": {"holderIdentity": f"continuum:{subject}"},
    }
