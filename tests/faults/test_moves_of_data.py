"""Workloads that keep data: moved with a hook that saves and restores it, and back when the hook does not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from blocks.errors import Refused
from blocks.fleet import Fleet
from blocks.kubernetes import KubernetesApi
from blocks.store.tables import State
from tests.faults.move_hook import Answer, Hook, claim
from tests.faults.move_scenes import NAMESPACE, SOURCE, TARGET, Clusters, mover_of, planned, ready_pods, until

pytestmark = pytest.mark.server
numbers = itertools.count()


@pytest.fixture
def hook() -> Iterator[Callable[[Answer], Hook]]:
    made: list[Hook] = []

    def serving(answer: Answer) -> Hook:
        made.append(Hook(answer))
        return made[-1]

    yield serving
    for each in made:
        each.server.shutdown()
        each.server.server_close()


@pytest.fixture
def clusters(fleet: Fleet) -> Clusters:
    return Clusters(fleet)


def stateful(api: KubernetesApi, hook_url: str = "", *, keeps: bool = True) -> str:
    """A StatefulSet of two pods, all Ready when this returns; it keeps data in a claim a pod."""
    name = f"db-{next(numbers)}"
    container: dict[str, Any] = {"name": "db", "image": "registry.example/db:1",
                                 "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}}}  # fmt: skip
    template = {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}  # fmt: skip
    claims = [{"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]  # fmt: skip
    spec = {"replicas": 2, "serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": template}
    marks = {"continuum.io/move-hook": hook_url} if hook_url else {}
    api.create("statefulsets", {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {
        "name": name, "namespace": NAMESPACE, "annotations": marks},
        "spec": spec | ({"volumeClaimTemplates": claims} if keeps else {})}, NAMESPACE)  # fmt: skip
    until(lambda: ready_pods(api, name) == 2)
    return name


def pods(clusters: Clusters, name: str) -> tuple[int, int]:
    return ready_pods(clusters(SOURCE), name), ready_pods(clusters(TARGET), name)


def test_a_stateful_set_without_data_moves_like_any_other(clusters: Clusters) -> None:
    name, mover = stateful(clusters(SOURCE), keeps=False), mover_of(clusters)
    ended = mover.carry_out(mover.begin(planned(clusters, name), key=name))
    assert (ended.state, pods(clusters, name)) == (State.DONE, (0, 2)), ended.detail


def test_data_is_saved_and_restored_before_the_copy_starts(clusters: Clusters, hook: Callable[[Answer], Hook]) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if body["do"] == "restore":
            for name in body["claims"]:
                claim(clusters(TARGET), name)
        return {"key": "s3://backups/7"}

    kept = hook(answer)
    name, mover = stateful(clusters(SOURCE), kept.url), mover_of(clusters)
    ended = mover.carry_out(mover.begin(planned(clusters, name), key=name))
    assert (ended.state, pods(clusters, name)) == (State.DONE, (0, 2)), ended.detail
    assert kept.verbs == ["checkpoint", "restore"]
    assert kept.asked[1]["key"] == "s3://backups/7"
    assert kept.asked[1]["claims"] == [f"data-{name}-0", f"data-{name}-1"]
    template = clusters(TARGET).get("statefulsets", name, NAMESPACE)["spec"]["template"]
    assert template["metadata"]["annotations"]["continuum.io/checkpoint"] == "s3://backups/7"
    assert template["spec"]["containers"][0]["env"] == [{"name": "CONTINUUM_CHECKPOINT", "value": "s3://backups/7"}]
    assert f"PersistentVolumeClaim data-{name}-0 (data)" in ended.detail
    assert clusters(SOURCE).get("persistentvolumeclaims", f"data-{name}-0", NAMESPACE)


@pytest.mark.parametrize(("answer", "words"), [
    (lambda body: 409 if body["do"] == "restore" else {"key": "a"}, "was not saved and restored"),
    (lambda body: {"key": "a"}, "has restored no claim"), (lambda body: {"key": ""}, "names no key"),
])  # fmt: skip
def test_what_was_not_saved_and_restored_goes_back_and_its_source_is_told(
    clusters: Clusters, hook: Callable[[Answer], Hook], answer: Answer, words: str
) -> None:
    kept = hook(answer)
    name, mover = stateful(clusters(SOURCE), kept.url), mover_of(clusters)
    ended = mover.carry_out(mover.begin(planned(clusters, name), key=name))
    assert (ended.state, words in ended.detail, pods(clusters, name)) == (State.UNDONE, True, (2, 0)), ended.detail
    assert kept.verbs[-1] == "resume"


def test_data_without_a_hook_is_refused(clusters: Clusters) -> None:
    name = stateful(clusters(SOURCE))
    with pytest.raises(Refused, match=f"keep data in data-{name}-0, data-{name}-1"):
        planned(clusters, name)
