"""What every global model gives, what it may be asked, and what it says of windows beside the plain experts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from blocks.errors import InvalidInput
from blocks.series import Float, Series
from tasks.forecasting.decide.combination import Opinions, opinions
from tasks.forecasting.decide.features import Design, design
from tasks.forecasting.decide.history import Past
from tasks.forecasting.decide.known_features import Known


class Model(Protocol):
    """A fitted global quantile model."""

    @property
    def step_s(self) -> int:
        """Seconds between steps."""

    @property
    def levels(self) -> tuple[float, ...]:
        """Q quantile levels, ascending."""

    @property
    def horizon(self) -> int:
        """H steps ahead."""

    @property
    def known(self) -> Known:
        """Known-future features it has learned."""

    def shares(self, windows: Design) -> Float:
        """(N, H, Q) quantiles as shares of each window's scale above its centre, ascending along Q."""


def checked(history: Series, horizon: int, levels: Sequence[float], model: Model | None = None) -> tuple[float, ...]:
    """The levels as a tuple, after everything has been checked.

    Raises
    ------
    InvalidInput: a duplicate name, a wrong shape, horizon or level; a model of another horizon, step or set of levels.
    """
    shape, names = history.values.shape, history.unique_id
    if len(shape) != 2 or shape[0] != len(names):
        raise InvalidInput(f"values have the shape {shape} for {len(names)} names", where="history",
                           fix="pass one row a name")  # fmt: skip
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise InvalidInput(f"series {twice!r} is there twice", where="history", fix="give every series its own name")
    if horizon < 1:
        raise InvalidInput(f"a horizon of {horizon} steps", where="forecast", fix="ask for at least 1 step")
    wanted = tuple(float(level) for level in levels)
    inside = all(0 < level < 1 for level in wanted)
    if not wanted or not inside or any(b <= a for a, b in pairwise(wanted)):
        raise InvalidInput(f"quantile levels {wanted}", where="forecast", fix="give ascending levels inside 0-1")
    if model is not None and (model.horizon, model.step_s, model.levels) != (horizon, history.step_s, wanted):
        raise InvalidInput(f"the model is for {model.horizon} steps of {model.step_s} s at levels {model.levels}",
                           where="forecast", fix="fit one with the same step, horizon and levels")  # fmt: skip
    return wanted


def opinions_of(view: Past, model: Model) -> Opinions:
    """What the experts say of N windows that a global model may serve, and what known features change in it."""
    windows = design(view, model.horizon)
    shares = model.shares(windows)
    said = opinions(windows, shares, model.levels, floor_of(view))
    news = windows.news()
    if not len(news):
        return said
    effect = np.zeros(shares.shape[:2], np.float32)
    usual = model.shares(windows.take(news).as_usual())
    effect[news] = (shares[news] - usual)[:, :, said.middle] * windows.scale[news, None]
    return said.told(effect)


def floor_of(view: Past) -> Float:
    """(N,) 0 where nothing was below it in the week."""
    return np.where(view.values.min(axis=1) < 0, -np.inf, 0).astype(np.float32)
