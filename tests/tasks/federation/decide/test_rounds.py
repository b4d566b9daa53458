"""A round: what is refused, when it is over, what the gate lets through, and that its record gives the same again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blocks.errors import InvalidInput
from tasks.federation.decide.models import Shape, Vector
from tasks.federation.decide.privacy import Privacy
from tasks.federation.decide.rounds import Closed, Rules, Standing, decide_close, decide_round, passes, replay
from tasks.federation.decide.updates import Call, Update

SHAPE = Shape(3, 2)
BASE = np.zeros(SHAPE.size, np.float32)
NAME = SHAPE.digest(BASE)
CALL = Call(4, NAME, (1, 2, 3, 5, 8), SHAPE.size)
STANDING = Standing(BASE, 0.5, 0.5)
RULES = Rules("mean")


def update(device: int, value: float = 1.0, **other: Any) -> Update:
    told = {"round": 4, "base": NAME, "examples": 10, "delta": np.full(SHAPE.size, value, np.float32)} | other
    return Update(device, **told)


def closed(*updates: Update, score: float = 0.6, rules: Rules = RULES, standing: Standing = STANDING) -> Closed:
    return decide_round(SHAPE, standing, CALL, updates, rules, lambda _: score)


GOOD = tuple(update(device) for device in CALL.selected)


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (update(8, np.nan), "not finite"),
        (update(8, np.inf), "not finite"),
        (update(8, delta=np.ones(7, np.float32)), "shape"),
        (update(8, delta=np.ones((SHAPE.size, 1), np.float32)), "shape"),
        (update(8, delta=np.ones(SHAPE.size)), "float64"),
        (update(8, base="f" * 64), "another base"),
        (update(8, round=3), "round 3"),
        (update(5), "already"),
        (update(4), "not asked"),
        (update(8, examples=0), "0 rows"),
        (update(8, examples=10**9), "rows"),
        (update(8, 1e3), "longer"),
        (update(8, 3e38), "longer"),
    ],
)
def test_an_odd_update_alone_is_refused(odd: Update, why: str) -> None:
    record = closed(*GOOD[:4], odd).record
    refused = [each for each in record["updates"] if each["refused"]]
    assert len(refused) == 1
    assert why in refused[0]["refused"]
    assert record["digest"] == closed(*GOOD[:4]).record["digest"] != NAME


def test_a_replayed_update_counts_once() -> None:
    assert closed(*GOOD, GOOD[0], GOOD[0]).record["digest"] == closed(*GOOD).record["digest"]


def test_when_every_update_is_refused_the_model_stays() -> None:
    over = closed(*(update(device, np.nan) for device in CALL.selected))
    assert (over.record["accepted"], over.record["why"], over.record["digest"]) == (False, "quorum", NAME)
    assert over.standing is STANDING


def test_the_order_of_arrival_changes_nothing() -> None:
    draw = np.random.default_rng(1)
    updates = [update(device, delta=draw.normal(size=SHAPE.size).astype(np.float32)) for device in CALL.selected]
    assert closed(*updates).record["digest"] == closed(*reversed(updates)).record["digest"]


def test_the_gate_measures_from_the_best_accepted_model_and_not_from_the_last() -> None:
    falling = replace(STANDING, score=0.50, best=0.515)
    assert closed(*GOOD, score=0.496, standing=falling).record["accepted"]
    over = closed(*GOOD, score=0.49, standing=falling)
    assert (over.record["why"], over.standing) == ("gate", falling)
    assert not passes(float("nan"), 0.5)


def test_accepted_models_cannot_slide_down_step_by_step() -> None:
    standing = closed(*GOOD, score=0.9).standing
    for reached, best in ((0.885, 0.9), (0.881, 0.9), (0.95, 0.95), (0.935, 0.95)):
        call = replace(CALL, base=SHAPE.digest(standing.model))
        answers = [replace(each, base=call.base) for each in GOOD]
        standing = decide_round(SHAPE, standing, call, answers, RULES, lambda _, reached=reached: reached).standing
        assert (standing.score, standing.best) == (reached, best)


def test_a_refused_round_leaves_the_servers_momentum_as_it_was() -> None:
    rules = replace(RULES, step="momentum")
    first = closed(*GOOD, rules=rules).standing
    again = Call(4, SHAPE.digest(first.model), CALL.selected, SHAPE.size)
    answers = [replace(each, base=again.base) for each in GOOD]
    refused = decide_round(SHAPE, first, again, answers, rules, lambda _: 0.0).standing
    assert refused.memory is first.memory
    assert decide_round(SHAPE, first, again, answers, rules, lambda _: 1.0).standing.memory is not first.memory


@pytest.mark.parametrize("step", ["average", "momentum", "adam"])
@pytest.mark.parametrize("rule", ["mean", "multi-krum", "trimmed-mean", "median"])
def test_a_record_gives_the_same_digest_again(rule: str, step: str) -> None:
    rules = Rules(rule, hostile=1, step=step)
    draw = np.random.default_rng(2)
    updates = [update(device, delta=draw.normal(size=SHAPE.size).astype(np.float32)) for device in CALL.selected]
    record = closed(*updates, rules=rules).record
    assert replay(SHAPE, record, STANDING, updates[::-1], rules) == record["digest"]


def test_a_private_round_is_replayed_with_its_noise() -> None:
    rules = Rules("mean", privacy=Privacy(1.0, 1.0, 0.5, 10, 1e-3), noise_seed=(7, 4))
    record = closed(*GOOD, rules=rules).record
    assert replay(SHAPE, record, STANDING, GOOD, rules) == record["digest"]
    other = replace(rules, noise_seed=(7, 5))
    assert replay(SHAPE, record, STANDING, GOOD, other) != record["digest"]


def test_a_replay_refuses_another_base_and_a_missing_update() -> None:
    record = closed(*GOOD).record
    moved: Vector = BASE + 1
    with pytest.raises(InvalidInput, match="another model"):
        replay(SHAPE, record, replace(STANDING, model=moved), GOOD, RULES)
    other = update(1, 2.0)
    with pytest.raises(InvalidInput, match="1 updates are missing"):
        replay(SHAPE, closed(other, *GOOD[1:]).record, STANDING, GOOD, RULES)


def test_a_round_ends_at_its_deadline_however_many_are_missing() -> None:
    for answered in range(7):
        assert decide_close(60.0, 60.0, 6, answered) != "wait"
    assert decide_close(59.9, 60.0, 6, 5) == "wait"
