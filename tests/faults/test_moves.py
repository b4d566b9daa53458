"""One workload moved between two simulated clusters: as it should be, refused, turned round."""

from __future__ import annotations

import itertools

import pytest

from blocks.fleet import Fleet
from blocks.store.tables import State
from tests.faults.move_scenes import (
    NAMESPACE,
    REPLICAS,
    SOURCE,
    TARGET,
    Clusters,
    Watcher,
    deploy,
    look,
    mover_of,
    planned,
    ready_pods,
)

pytestmark = pytest.mark.server
numbers = itertools.count()


@pytest.fixture
def clusters(fleet: Fleet) -> Clusters:
    return Clusters(fleet)


@pytest.fixture
def name(clusters: Clusters) -> str:
    """A workload of its own, Ready in the source."""
    made = f"shop-{next(numbers)}"
    deploy(clusters(SOURCE), made)
    return made


def test_a_move_takes_all_along_and_is_never_below_the_floor(fleet: Fleet, clusters: Clusters, name: str) -> None:
    mover, plan = mover_of(clusters), planned(clusters, name)
    assert sorted(kind for kind, _ in plan.closure) == [
        "configmaps",
        "poddisruptionbudgets",
        "serviceaccounts",
        "services",
    ]
    with Watcher(fleet, name) as watcher:
        ended = mover.carry_out(mover.begin(plan, key=name))
    assert ended.state == State.DONE, ended.detail
    found = look(clusters, name, ended)
    assert (found.source, found.target, found.left) == (0, REPLICAS, ())
    assert clusters(TARGET).get("configmaps", name, NAMESPACE)["data"] == {"mode": "shop"}
    assert watcher.least >= plan.floor, (watcher.least, watcher.looks)
    steps = [step.detail.split(",")[0] for step in mover.journal.steps(ended.id) if step.event == "noted"]
    assert steps == ["reserved", "started", "healthy", "shifting", "drained", "removed"]
    assert ready_pods(clusters(TARGET), name) == REPLICAS
