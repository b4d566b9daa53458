"""Whom a series trusts: those that lost least lately."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.forecasting.decide.combination import EXPERTS, HALF_LIFE, Opinions, unproven, weights

LEVELS = np.array([0.1, 0.5, 0.9], np.float32)


def losses(*rows: list[float]) -> np.ndarray:
    """(M, 1, E): one row an origin, oldest first."""
    return np.array(rows, np.float32)[:, None, :]


def all_known(count: int) -> np.ndarray:
    return np.ones((count, 1), np.float32)


def test_without_evidence_the_model_is_trusted_nearly_alone():
    weight = unproven(2)
    assert weight.shape == (2, len(EXPERTS))
    assert (weight[:, 0] > 0.9).all()
    np.testing.assert_allclose(weight.sum(axis=1), 1, rtol=1e-6)


def test_the_expert_that_loses_least_is_trusted_most():
    weight = weights(losses(*[[1, 1, 0.2, 1, 1, 1]] * 20), all_known(20))[0]
    assert weight.argmax() == 2
    assert weight[2] > 0.99


def test_a_loss_long_ago_counts_less_than_a_new_one():
    turned = [[1, 0.5, 1, 1, 1, 1]] * 40 + [[1, 1, 0.5, 1, 1, 1]] * 40
    weight = weights(losses(*turned), all_known(80))[0]
    assert weight[2] > weight[1]


def test_outcomes_that_are_not_known_count_nothing():
    known = np.array([[1.0], [0.0]], np.float32)
    with_unknown = weights(losses([1, 0.2, 1, 1, 1, 1], [0, 0, 0, 9, 0, 0]), known)
    alone = weights(losses([1, 0.2, 1, 1, 1, 1]), np.array([[0.5 ** (1 / HALF_LIFE)]], np.float32))
    np.testing.assert_allclose(with_unknown, alone, rtol=1e-5)


def test_where_nobody_loses_anything_the_prior_decides():
    np.testing.assert_allclose(weights(losses([0.0] * 6), all_known(1)), weights(losses([1.0] * 6), all_known(1)))


@given(st.integers(0, 1000))
def test_mixed_quantiles_never_cross(seed):
    rng = np.random.default_rng(seed)
    said = Opinions(
        np.sort(rng.normal(0, 3, (4, 5, 3)).astype(np.float32), axis=2),
        rng.normal(0, 3, (4, 4, 5)).astype(np.float32),
        np.sort(rng.normal(0, 3, (4, 3)).astype(np.float32), axis=1),
        np.full(4, -np.inf, np.float32), 1,
    )  # fmt: skip
    weight = rng.dirichlet(np.ones(len(EXPERTS)), 4).astype(np.float32)
    assert (np.diff(said.mixed(weight), axis=2) >= -1e-5).all()


@given(st.integers(0, 1000))
def test_losses_are_those_of_each_experts_own_quantiles(seed):
    rng = np.random.default_rng(seed)
    model = np.sort(rng.uniform(1, 3, (2, 5, 3)).astype(np.float32), axis=2)
    points = rng.uniform(0, 3, (4, 2, 5)).astype(np.float32)
    today = np.sort(rng.uniform(0, 3, (2, 3)).astype(np.float32), axis=1)
    said = Opinions(model, points, today, np.zeros(2, np.float32), 1)
    actual = rng.uniform(0, 3, (2, 5)).astype(np.float32)
    actual[0, 1] = np.nan
    found, known = said.losses(actual, LEVELS)
    np.testing.assert_allclose(known, [0.8, 1])
    for place in range(len(EXPERTS)):
        only = np.eye(len(EXPERTS), dtype=np.float32)[[place, place]]
        error = actual[:, :, None] - np.maximum(said.mixed(only), 0)
        expected = np.nanmean(np.maximum(LEVELS * error, (LEVELS - 1) * error).mean(axis=2), axis=1)
        np.testing.assert_allclose(found[:, place], expected, rtol=1e-4, atol=1e-6)
