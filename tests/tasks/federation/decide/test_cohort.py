"""Whether training may begin: the privacy budget over runs, and who is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.federation.decide.cohort import Device, Wish, decide_asked, decide_training
from tasks.federation.decide.privacy import Ledger, Privacy, epsilon_after
from tasks.federation.report import explain

DEVICES = [Device(f"d{number:02}", 1.0) for number in range(20)]
PRIVATE = Wish("digits", rounds=4, dp_noise=2.0, epsilon_budget=2.0)


def code_of(entry: dict) -> list[str]:
    return [reason["code"] for reason in entry["reasons"]]


def test_runs_share_one_budget_until_it_is_spent() -> None:
    pytest.importorskip("dp_accounting")
    first = decide_training(DEVICES, PRIVATE)
    assert (first["action"], first["rounds"], code_of(first)) == ("train", 4, ["few-for-privacy"])
    before = Ledger(((2.0, 0.3, 4),), delta=1e-3, budget=2.0)
    second = decide_training(DEVICES, replace(PRIVATE, rounds=30, epsilon_budget=None), before)
    assert second["epsilon_before"] == pytest.approx(first["epsilon_after"])
    assert second["epsilon_after"] <= 2.0 < epsilon_after(second["rounds"] + 1, Privacy(**second["privacy"]), before)
    assert code_of(second) == ["budget-ends", "few-for-privacy"]
    spent = replace(before, spent=((2.0, 0.3, 4 + second["rounds"]),))
    third = decide_training(DEVICES, PRIVATE, spent)
    assert (third["action"], code_of(third)) == ("refuse", ["budget-spent"])
    assert "the budget is 2" in explain(third)


def test_rounds_of_several_kinds_spend_more_than_each_alone() -> None:
    pytest.importorskip("dp_accounting")
    privacy = Privacy(2.0, 1.0, 0.3, 20, 1e-3)
    other = Ledger(((4.0, 0.5, 3),), delta=1e-3)
    both = epsilon_after(4, privacy, other)
    assert both > max(epsilon_after(4, privacy), epsilon_after(0, privacy, other))
    assert both < epsilon_after(4, privacy, replace(other, delta=1e-5))


@pytest.mark.parametrize(
    ("wish", "before", "code"),
    [
        (PRIVATE, Ledger(bare=2), "rounds-without-noise"),
        (replace(PRIVATE, dp_noise=0.0), Ledger(((2.0, 0.3, 1),)), "would-void-privacy"),
    ],
)
def test_private_and_other_rounds_of_one_model_are_not_mixed(wish: Wish, before: Ledger, code: str) -> None:
    entry = decide_training(DEVICES, wish, before)
    assert (entry["action"], code_of(entry)) == ("refuse", [code])


def test_cleaner_power_and_more_rows_are_asked_first_among_equals() -> None:
    clean = [replace(each, g_per_kwh=30.0 if place < 6 else 600.0) for place, each in enumerate(DEVICES)]
    rich = [replace(each, rows=900 if place < 6 else 10) for place, each in enumerate(DEVICES)]
    first = {each.name for each in DEVICES[:6]}
    for devices, wish in ((clean, Wish("m", carbon_weight=5.0)), (rich, Wish("m", data_weight=5.0))):
        assert set(decide_asked(devices, wish, 6, [1])) == first
        assert set(decide_asked(devices, Wish("m"), 6, [1])) != first


def test_a_device_whose_power_is_unknown_counts_as_usual() -> None:
    asked = np.zeros(3)
    devices = [Device("clean", 1.0, g_per_kwh=30.0), Device("dirty", 1.0, g_per_kwh=900.0), Device("unknown", 1.0)]
    for number in range(300):
        (name,) = decide_asked(devices, Wish("m", carbon_weight=1.0), 1, [number])
        asked[["clean", "unknown", "dirty"].index(name)] += 1
    assert asked[0] > 2 * asked[1] > 0
    assert asked[1] > asked[2]


def test_under_privacy_each_device_is_asked_by_a_coin() -> None:
    sizes = [len(decide_asked(DEVICES, PRIVATE, 6, [number])) for number in range(300)]
    assert np.mean(sizes) == pytest.approx(6, abs=0.5)
    assert len(set(sizes)) > 4
