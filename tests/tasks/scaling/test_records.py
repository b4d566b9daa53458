from __future__ import annotations

import json

import numpy as np
import pytest

from blocks.errors import InvalidInput
from tasks.scaling.decide import ScalingDecisions


def as_json(decisions: ScalingDecisions) -> str:
    return json.dumps(decisions.to_records(), allow_nan=False)


def varied(stage, policy="predictive"):
    columns = {
        "cpu_cores": [8.0, np.nan, 70.0, 20.1],
        "owner": ["", "", "flux", ""],
        "price_usd_per_hour": [0.1, np.nan, 0.3, 0.7],
    }
    return stage.scene(4, policy=policy, peak_cpu=[9.0, np.nan, 70.0, 1 / 3], **columns)


@pytest.mark.parametrize("policy", ["predictive", "seed"])
def test_stored_decisions_come_back_bit_for_bit(stage, policy):
    decided = varied(stage, policy).decide()
    back = ScalingDecisions.from_records(json.loads(as_json(decided)))
    assert as_json(back) == as_json(decided)
    assert back.as_of == decided.as_of
    assert np.array_equal(back.forecast_age_s, decided.forecast_age_s)
    for name, values in vars(decided.promised).items():
        assert getattr(back.promised, name).tobytes() == values.tobytes(), name
    for name in ("current", "ready", "want", "target", "min_nodes", "max_nodes"):
        assert getattr(back, name).tobytes() == getattr(decided, name).tobytes(), name
    assert (back.action, back.unique_id, back.owner) == (decided.action, decided.unique_id, decided.owner)


def test_the_same_input_gives_the_same_bytes(stage):
    assert as_json(varied(stage).decide()) == as_json(varied(stage).decide())


def test_a_record_says_what_the_decision_was_made_on(stage):
    record = stage.scene().decide().to_records()[0]
    assert {name: record[name] for name in ("unique_id", "policy", "as_of", "action", "current", "want", "target")} == {
        "unique_id": "eu-eks/web", "policy": "predictive", "as_of": "2026-03-04T14:00:00+00:00", "action": "down",
        "current": 6, "want": 5, "target": 5,
    }  # fmt: skip
    assert (record["min_nodes"], record["max_nodes"], record["forecast_age_s"]) == (1, 20, 60.0)


def test_records_of_two_passes_do_not_mix(stage):
    first, second = stage.scene().decide().to_records(), stage.scene(policy="seed").decide().to_records()
    with pytest.raises(InvalidInput, match="come from 2 passes"):
        ScalingDecisions.from_records(first + second)


@pytest.mark.parametrize("damage", [{"action": "explode"}, {"reasons": [{"code": "no-such"}]}, {"promised": {}}])
def test_a_damaged_record_is_refused(stage, damage):
    record = {**stage.scene().decide().to_records()[0], **damage}
    with pytest.raises(InvalidInput, match="cannot be read"):
        ScalingDecisions.from_records([record])
