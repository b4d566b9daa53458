"""Models, local training, selection, int8, privacy and the split: their laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from blocks.errors import InvalidInput, Refused
from tasks.federation.decide.models import Shape, accuracy, first_model, log_probabilities
from tasks.federation.decide.privacy import Privacy, epsilon_after, private_mean, rounds_within
from tasks.federation.decide.selection import (
    UNIFORM,
    Fleet,
    Leaning,
    decide_cohort,
    decide_selection,
    hostile_among,
    poisson_selection,
)
from tasks.federation.decide.split import held_back, split_by_label, split_by_unit
from tasks.federation.decide.training import Training, train
from tasks.federation.decide.updates import Packed, pack, unpack

DRAW = np.random.default_rng(3)
ROWS = DRAW.normal(size=(90, 5)).astype(np.float32)
LABELS = (ROWS @ DRAW.normal(size=(5, 3))).argmax(axis=1)


def fleet(count: int, **other: np.ndarray) -> Fleet:
    return replace(Fleet(np.ones(count, bool), np.full(count, 9), np.zeros(count, np.int64)), **other)


@pytest.mark.parametrize("hidden", [0, 7])
def test_a_step_of_training_follows_the_gradient_of_the_loss(hidden: int) -> None:
    shape = Shape(5, 3, hidden)
    base = first_model(shape, 1) + 0.1 * np.random.default_rng(2).normal(size=shape.size).astype(np.float32)

    def loss(vector: np.ndarray) -> float:
        return float(-log_probabilities(shape, vector, ROWS)[np.arange(len(ROWS)), LABELS].mean())

    step = train(shape, base, ROWS, LABELS, Training(1, 1.0, len(ROWS), 0.0), [0]) - base
    for place in range(0, shape.size, 4):
        nudge = np.zeros(shape.size, np.float32)
        nudge[place] = 1e-3
        assert step[place] == pytest.approx(-(loss(base + nudge) - loss(base - nudge)) / 2e-3, abs=1e-3)


@pytest.mark.parametrize("hidden", [0, 16])
def test_training_learns_and_leaves_its_base_alone(hidden: int) -> None:
    shape = Shape(5, 3, hidden)
    base = first_model(shape, 1)
    kept = base.copy()
    trained = train(shape, base, ROWS, LABELS, Training(epochs=60), [1])
    assert np.array_equal(base, kept)
    assert accuracy(shape, trained, ROWS, LABELS) > 0.9
    assert np.array_equal(trained, train(shape, base, ROWS, LABELS, Training(epochs=60), [1]))


def test_a_digest_names_shape_and_numbers() -> None:
    vector = first_model(Shape(5, 3), 0)
    assert Shape(5, 3).digest(vector) != Shape(2, 6).digest(vector)
    assert Shape(5, 3).digest(vector) == Shape(5, 3).digest(vector.astype(">f4"))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8))
def test_int8_is_off_by_half_a_scale_at_most(numbers: list[float]) -> None:
    shape, delta = Shape(3, 2), np.array(numbers, np.float32)
    packed = pack(shape, delta)
    scale = np.repeat(packed.scales, [6, 2])
    assert np.all(np.abs(unpack(shape, packed) - delta) <= scale * 0.5 * (1 + 1e-5) + 1e-35)
    assert packed.size_bytes == 8 + 2 * 4


def test_an_update_of_another_shape_is_not_unpacked() -> None:
    with pytest.raises(InvalidInput, match="send 8 numbers"):
        unpack(Shape(3, 2), Packed(np.ones(2, np.float32), np.ones(5, np.int8)))


@given(st.integers(3, 60), st.floats(0.01, 1), st.sampled_from([0.0, 0.1, 0.2, 0.3]))
def test_a_cohort_is_large_enough_for_its_rule(devices: int, fraction: float, share: float) -> None:
    cohort = decide_cohort(devices, fraction, share)
    assert fraction * devices <= cohort.size + 1e-6 <= devices + 1e-6
    if share:
        assert cohort.size >= 2 * cohort.hostile + 3
        assert cohort.hostile == min(hostile_among(cohort.size, devices, share), (devices - 3) // 2)


def test_the_tail_is_the_hypergeometric_one() -> None:
    for sampled in (6, 11, 20):
        few = hostile_among(sampled, 20, 0.2)
        assert hypergeom.sf(few, 20, 4, sampled) <= 0.01
        assert few == 0 or hypergeom.sf(few - 1, 20, 4, sampled) > 0.01


def test_selection_takes_only_available_devices_once_and_repeats_by_seed() -> None:
    awake = np.arange(20) % 2 == 0
    chosen = decide_selection(fleet(20, available=awake), 6, Leaning(), [1, 2])
    assert len(set(chosen.tolist())) == 6
    assert awake[chosen].all()
    assert np.array_equal(chosen, decide_selection(fleet(20, available=awake), 6, Leaning(), [1, 2]))
    assert len(decide_selection(fleet(20, available=awake), 15, Leaning(), [1])) == 10


def asked_of(leaning: Leaning, each: Fleet, rounds: int) -> np.ndarray:
    times = np.zeros(len(each.rows), np.int64)
    for number in range(rounds):
        chosen = decide_selection(replace(each, rounds=times), 6, leaning, [5, number])
        times[chosen] += 1
    return times


def test_fairness_asks_every_device_about_equally_often() -> None:
    assert np.ptp(asked_of(Leaning(), fleet(20), 50)) <= 2 < np.ptp(asked_of(UNIFORM, fleet(20), 50))


def test_selection_can_lean_to_data_and_to_clean_power() -> None:
    first_half = np.arange(20) < 10
    rich = fleet(20, rows=np.where(first_half, 1000, 10))
    clean = fleet(20, gco2_per_kwh=np.where(first_half, 30.0, 600.0))
    for leaning, each in ((Leaning(0, data=1), rich), (Leaning(0, carbon=1), clean)):
        times = asked_of(leaning, each, 50)
        assert times[first_half].sum() > 3 * times[~first_half].sum()


def test_poisson_selection_is_a_coin_a_device() -> None:
    drawn = [len(poisson_selection(np.ones(20, bool), 0.3, [1, number])) for number in range(400)]
    assert np.mean(drawn) == pytest.approx(6, abs=0.4)
    assert np.var(drawn) == pytest.approx(20 * 0.3 * 0.7, rel=0.25)


def test_one_device_moves_a_private_sum_by_its_clip_at_most() -> None:
    updates = DRAW.normal(size=(6, 50)).astype(np.float32)
    updates[3] *= 1000
    norms, privacy = np.linalg.norm(updates, axis=1), Privacy(1.0, 2.0, 0.3, 20, 1e-3)
    rest = np.arange(6) != 3
    moved = private_mean(50, updates, norms, privacy, [1]) - private_mean(50, updates[rest], norms[rest], privacy, [1])
    assert np.linalg.norm(moved) * 0.3 * 20 == pytest.approx(2.0, rel=1e-4)


def test_epsilon_is_the_accountants_and_the_budget_stops_the_rounds() -> None:
    pytest.importorskip("dp_accounting")
    privacy = Privacy(1.0, 1.0, 0.3, 20, 1e-3)
    assert epsilon_after(40, privacy) == pytest.approx(9.7, abs=0.1)  # notes/federation.md, PLD at z = 1
    capped = replace(privacy, noise=3.0, budget=0.5)
    allowed = rounds_within(capped, 6)
    assert epsilon_after(allowed, capped) <= 0.5 < epsilon_after(allowed + 1, capped)
    with pytest.raises(Refused, match="one round alone"):
        rounds_within(replace(capped, budget=0.01), 2)


@given(st.integers(1, 30), st.sampled_from([0.01, 0.5, 100.0]), st.integers(0, 50))
def test_every_row_is_dealt_to_one_device_and_no_device_is_empty(devices: int, alpha: float, seed: int) -> None:
    units = np.arange(90) // 4
    for parts in (split_by_label(LABELS, devices, alpha, [seed]), split_by_unit(units, devices, alpha, [seed])):
        assert sorted(np.concatenate(parts).tolist()) == list(range(90))
        assert min(map(len, parts)) >= 2


def test_a_small_alpha_gives_each_device_fewer_labels() -> None:
    def labels_each(alpha: float) -> float:
        return float(np.mean([len(set(LABELS[part].tolist())) for part in split_by_label(LABELS, 6, alpha, [1])]))

    assert labels_each(0.05) < labels_each(100.0) == 3


def test_units_are_held_back_whole() -> None:
    units = np.arange(900) // 9
    kept, gate, test = held_back(units, (0.15, 0.25), [4])
    assert len(kept) + len(gate) + len(test) == 900
    assert not set(units[kept]) & set(units[gate]) | set(units[gate]) & set(units[test])
    assert len(gate) == pytest.approx(135, abs=9)
    assert len(test) == pytest.approx(225, abs=9)
