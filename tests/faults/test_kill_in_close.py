"""`kill -9` of the aggregator at every step: started again, it gives the same model, and only whole rounds stand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest

from blocks.errors import Conflict
from blocks.models import Registry
from blocks.settings import home
from blocks.store import Store
from blocks.store.rounds import CLOSED, open_round, round_of, standing_before, take_update
from blocks.store.tables import RoundUpdate, TrainingRound, now
from tasks.federation.act import close, replayed
from tasks.federation.decide.models import Shape
from tasks.federation.decide.wire import model_bytes
from tests.faults.kill_in_close import killed_at

SHAPE = Shape(6, 3)
DEVICES = [f"device-{number}" for number in range(5)]
STEPS = ("stop_round:before", "stop_round:after", "decide_round:before", "decide_round:after", "put:before",
         "put:after", "close_round:before", "close_round:after")  # fmt: skip


def score(model: np.ndarray) -> float:
    return float(abs(model).mean())


def opened(registry: Registry, model: str) -> str:
    """A round in which all have answered, the same for every model."""
    draw = np.random.default_rng(3)
    base = registry.put(model_bytes(SHAPE, np.zeros(SHAPE.size, np.float32)))
    memory = registry.put(draw.normal(size=SHAPE.size).astype("<f4").tobytes(), "updates")
    content = {"selected": DEVICES, "shape": [6, 3, 0], "rule": "multi-krum", "hostile": 1, "step": "momentum",
               "standing": {"digest": base, "score": 0.0, "best": 0.0, "memory": [memory, ""]}}  # fmt: skip
    row = open_round(registry.store, TrainingRound(id=f"{model}-1", model=model, number=1, base=base, content=content,
                                                   deadline=now() + timedelta(hours=1)))  # fmt: skip
    for name in DEVICES:
        digest = registry.put(draw.normal(size=SHAPE.size).astype("<f4").tobytes(), "updates")
        take_update(registry.store, RoundUpdate(round_id=row.id, edge=name, digest=digest, samples=9, size_bytes=84))
    return row.id


@pytest.mark.parametrize("step", STEPS)
def test_it_gives_the_same_model_when_it_is_started_again(step: str) -> None:
    registry = Registry.open(Store.open())
    whole, killed = opened(registry, "whole"), opened(registry, "killed")
    wanted = close(registry, whole, score).after
    killed_at(step, home(), killed)
    stands = round_of(registry.store, killed)
    assert (stands.state == CLOSED) is (step == "close_round:after")
    assert standing_before(registry.store, "killed", 2) == (wanted if stands.state == CLOSED else {})
    assert close(registry, killed, score).after == wanted
    assert close(registry, killed, lambda _: 0.0).after == wanted
    assert replayed(registry, killed) == (wanted["digest"], wanted["digest"])
    assert wanted["digest"] != stands.base


def test_two_that_close_a_round_at_once_give_one_model_and_another_round_waits() -> None:
    registry = Registry.open(Store.open())
    whole, both = opened(registry, "whole"), opened(registry, "both")
    with pytest.raises(Conflict, match="both-1 is there already"):
        open_round(registry.store, TrainingRound(id="both-2", model="both", number=2, base="", deadline=now()))
    wanted = close(registry, whole, score).after
    with ThreadPoolExecutor(4) as threads:
        rows = list(threads.map(lambda _: close(registry, both, score), range(4)))
    assert [row.after for row in rows] == [wanted] * 4
    assert len({row.closed_at for row in rows}) == 1
