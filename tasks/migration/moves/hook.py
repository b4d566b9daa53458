"""Data that goes along: an HTTP hook of the workload's owner saves it before the copy starts, and restores it there.

Asked by POST with a JSON body, each time with the id of the move (`move`), by which the hook knows a repeated request:

- `checkpoint`: save the state, and take no more writes. It answers `{"key": ...}`, e.g. of an object store.
- `restore`: bring what `key` stands for into the `claims` of the `target`; asked where the workload has volume claims.
- `resume`: the move goes back. Take writes again, and drop what was restored.

The copy finds the key in CONTINUUM_CHECKPOINT, and as an annotation of its pods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blocks.errors import ContinuumError, NotFound, Refused
from blocks.http import fetch_json, session
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import path_of
from tasks.migration.moves.closure import Object
from tasks.migration.moves.plan import MovePlan

Ask = Callable[[str, dict[str, Any]], Any]  # URL and body of a request to a hook; its answer

CHECKPOINT = "continuum.io/checkpoint"  # annotation of the copy's pods
VARIABLE = "CONTINUUM_CHECKPOINT"
LONGEST = 1024  # characters of a key, as of an object's in S3
ANSWER_S = 300.0  # saving may take its time


class TurnedRound(Refused):
    """The move goes back: what it needs did not come true, or somebody else changed the workload."""


def ask_over_http(url: str, body: dict[str, Any]) -> Any:
    """A hook's answer; raises as `fetch_json`."""
    with session(timeout_s=ANSWER_S) as http:
        return fetch_json(http, "POST", url, where=f"hook of {body['workload']}", json=body, allow_redirects=False)


def take_data_along(ask: Ask, plan: MovePlan, target: KubernetesApi, intent_id: str, workload: Object) -> Object:
    """Have the hook save and restore the data; the workload with the key of what was saved. Without a hook, as it was.

    Raises
    ------
    TurnedRound: the hook does not, or a claim is not in the target afterwards.
    """
    if not plan.hook:
        return workload
    try:
        answer = ask(plan.hook, _body(plan, intent_id, "checkpoint"))
        key = answer.get("key") if isinstance(answer, dict) else None
        if not isinstance(key, str) or not 0 < len(key) <= LONGEST:
            raise TurnedRound("its hook names no key of a checkpoint", where=plan.subject, fix='answer {"key": "..."}')
        if plan.claims:
            ask(plan.hook, _body(plan, intent_id, "restore") | {"key": key})
    except TurnedRound:
        raise
    except ContinuumError as error:
        raise TurnedRound(f"its data was not saved and restored: {error}", where=plan.subject) from None
    for name in plan.claims:
        try:
            target.request("GET", path_of("persistentvolumeclaims", name, plan.namespace))
        except NotFound:
            raise TurnedRound(f"its hook has restored no claim {name}", where=f"cluster {plan.target}") from None
    return _with_key(workload, key)


def tell_of_return(ask: Ask, plan: MovePlan, intent_id: str) -> None:
    """Tell the hook that the source goes on; raises as `fetch_json`, and the move stays open until it is told."""
    ask(plan.hook, _body(plan, intent_id, "resume"))


def _body(plan: MovePlan, intent_id: str, verb: str) -> dict[str, Any]:
    return {"do": verb, "move": intent_id, "workload": f"{plan.namespace}/{plan.name}", "source": plan.source,
            "target": plan.target, "claims": list(plan.claims)}  # fmt: skip


def _with_key(workload: Object, key: str) -> Object:
    template = workload["spec"]["template"]
    metadata, spec = template.get("metadata") or {}, template["spec"]
    annotated = {**metadata, "annotations": {**(metadata.get("annotations") or {}), CHECKPOINT: key}}
    containers = [
        {**each, "env": [*(one for one in each.get("env") or () if one["name"] != VARIABLE),
                         {"name": VARIABLE, "value": key}]} for each in spec["containers"]
    ]  # fmt: skip
    pods = {**template, "metadata": annotated, "spec": {**spec, "containers": containers}}
    return {**workload, "spec": {**workload["spec"], "template": pods}}
