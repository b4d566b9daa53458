"""The mark that a hold leaves in its own cluster: whoever looks there, or has lost our store, sees what is held up.

A Lease, as it says what a Lease says: who wants something, and for how long. One format for every cloud, since not all
of them let a pool carry notes.
"""

from __future__ import annotations

import hashlib
import logging
import re
from datetime import datetime

from pydantic import BaseModel, ValidationError

from blocks.errors import NotFound
from blocks.kubernetes import MANAGED_BY, OURS, KubernetesApi
from blocks.kubernetes.connection import path_of
from blocks.store.tables import Hold
from tasks.scaling.actuators.pause_pods import EXPIRES_AT, NAMESPACE

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
    """Write the mark, or its later expiry.

    Raises
    ------
    ContinuumError: the cluster does not take it.
    """
    held = Held.model_validate(hold.model_dump(include=set(Held.model_fields)))
    metadata = {"annotations": {EXPIRES_AT: hold.until.isoformat(), HELD: held.model_dump_json()}}
    try:
        api.patch_at(LEASES, mark_name(hold), {"metadata": metadata})
    except NotFound:
        api.create_with_namespace("leases", {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata | {"name": mark_name(hold), "labels": {MANAGED_BY: OURS}},
            "spec": {"holderIdentity": f"continuum:{hold.subject}"},  # it locks nothing: the annotations count
        }, NAMESPACE)  # fmt: skip


def remove(api: KubernetesApi, hold: Hold) -> None:
    """Take the mark away.

    Raises
    ------
    ContinuumError: it stays, and expires by what it says.
    """
    api.delete_at(LEASES, mark_name(hold))


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
    """Name of a hold's mark: the pool's for people, and a digest, as two pools or fleets may share what is left of it.

    >>> mark_name(Hold(subject="asia/Jobs_1", kind="set-node-pool-floor", fleet="default"))
    'held-node-pool-floor-jobs-1-14c3fcdd'
    """
    whole = f"{hold.fleet}/{hold.subject}/{hold.kind}"
    pool = re.sub(r"[^a-z0-9.-]", "-", hold.subject.split("/", 1)[-1].lower())
    return f"held-{hold.kind.removeprefix('set-')}-{pool}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
