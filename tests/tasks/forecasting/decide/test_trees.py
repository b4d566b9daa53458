"""The trees as arrays say what scikit-learn says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from blocks.series import utc
from tasks.forecasting.decide import fit, forecast
from tasks.forecasting.decide.trees import _packed, _walk


@pytest.mark.parametrize("leaves", [2, 7, 15])
def test_walked_trees_agree_with_scikit_learn(leaves):
    rng = np.random.default_rng(leaves)
    rows = rng.normal(0, 1, (3000, 6)).astype(np.float32)
    target = rows[:, 0] * (rows[:, 1] > 0.3) + np.where(rows[:, 2] > 0, 2, -1) + rng.normal(0, 0.1, 3000)
    model = HistGradientBoostingRegressor(
        loss="quantile", quantile=0.9, max_iter=12, max_leaf_nodes=leaves, max_depth=5
    )
    feature, threshold, value, start = _packed(model.fit(rows, target))
    np.testing.assert_allclose(
        start + _walk(rows, feature, threshold, value), model.predict(rows), rtol=1e-4, atol=1e-5
    )


def test_trees_learn_what_a_linear_model_cannot(make_fleet):
    history = make_fleet(series=4, days=16)
    values = history.values.copy()
    values[:, 0] = np.array([0.21, 0.37, 0.59, 0.83])
    for column in range(1, values.shape[1]):  # the logistic map: the next value is a parabola of the last one
        values[:, column] = 3.99 * values[:, column - 1] * (1 - values[:, column - 1])
    changed = replace(history, values=values)
    now = utc(history.end_s - history.step_s)
    models = [fit(changed, 1, (0.1, 0.5, 0.9), now, engine=engine) for engine in ("linear", "trees")]
    made = [
        forecast(changed, 1, (0.1, 0.5, 0.9), now, engine=engine, model=model).values[:, 0, 1]
        for engine, model in zip(("linear", "trees"), models, strict=True)
    ]
    linear, trees = (
        np.abs(values - 3.99 * changed.values[:, -1] * (1 - changed.values[:, -1])).mean() for values in made
    )
    assert trees < linear / 2
