"""An LP solver for traffic weights that goes on where it stopped: HiGHS kept in memory (the `highspy` extra).

`decide` proves its optimum by solving a problem on few columns several times, and again at the next pass with other
demands. Here the columns are added to the model that is there, and the simplex goes on from its last basis.

Never in a process that also imports OR-Tools: the two break each other (google/or-tools #5246).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.errors import NotConfigured
from blocks.native_output import on_stderr
from tasks.placement.decide.traffic_flow import Part, Prices, Solution

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass
class _Model:
    """One part's model: rows are its demands, then replicas, then sites; columns its unserved, then flows in order."""

    highs: Any
    rows: Ints  # (R, 2) zone and function
    present: Bools  # (R, S) columns that are in the model
    order: Ints  # number of each, as row * S + site, in the model's order


class WarmSimplex:
    """An `Optimum` for `decide_traffic`: keep one for each routing problem, and pass it at every pass.

    Raises
    ------
    NotConfigured: the extra is not installed.
    """

    def __init__(self) -> None:
        try:
            import highspy
        except ImportError as error:
            raise NotConfigured(
                "highspy is not installed",
                where="warm start of traffic weights",
                fix="pip install 'continuum-fleet[highspy]', or leave it to scipy",
            ) from error
        self._highspy = highspy
        self._models: dict[tuple[int, ...], _Model] = {}

    def __call__(self, part: Part, columns: Bools) -> Solution:
        """The optimum on the given columns and those that are there from before."""
        model = self._model(part)
        self._add(model, part, columns & ~model.present)
        self._renew(model, part)
        highs = model.highs
        highs.run()
        if highs.getModelStatus() != self._highspy.HighsModelStatus.kOptimal:
            raise ArithmeticError(f"the solver gave up: {highs.getModelStatus()}")  # always feasible and bounded
        found = highs.getSolution()
        value, dual = np.array(found.col_value), np.array(found.row_dual) * part.largest
        count, width = part.cost.shape
        flow = np.zeros(count * width)
        flow[model.order] = np.maximum(value[count:], 0)
        request = np.zeros(part.shape[:2])
        request[part.zone, part.function] = dual[:count]
        replica = -dual[count : count + part.limit.size].reshape(part.limit.shape)
        site = -dual[count + part.limit.size :]
        prices = Prices(request, np.maximum(replica, 0), np.maximum(site, 0))
        return Solution(flow.reshape(count, width), prices, np.maximum(value[:count], 0))

    def _model(self, part: Part) -> _Model:
        """The part's model, made anew where its rows are others than before."""
        rows = np.stack([part.zone, part.function], axis=1)
        key = (*part.functions, -1 if part.site_limit is None else -2)
        model = self._models.get(key)
        if model is not None and model.rows.shape == rows.shape and (model.rows == rows).all():
            return model
        with on_stderr():
            highs = self._highspy.Highs()
        highs.setOptionValue("output_flag", False)
        highs.setOptionValue("solver", "simplex")
        highs.setOptionValue("threads", 1)
        count, width = part.cost.shape
        bound = count + part.limit.size + width
        highs.addRows(bound, np.full(bound, -np.inf), np.full(bound, np.inf), 0, np.zeros(bound, np.int32),
                      np.empty(0, np.int32), np.empty(0))  # fmt: skip
        highs.addCols(count, np.ones(count), np.zeros(count), np.full(count, np.inf), count,
                      np.arange(count, dtype=np.int32), np.arange(count, dtype=np.int32), np.ones(count))  # fmt: skip
        model = _Model(highs, rows, np.zeros(part.cost.shape, np.bool_), np.empty(0, np.int64))
        self._models[key] = model
        return model

    def _add(self, model: _Model, part: Part, fresh: Bools) -> None:
        rows, sites = np.nonzero(fresh)
        if not len(rows):
            return
        count, width = part.cost.shape
        replica = count + part.function[rows] * width + sites
        index = np.stack([rows, replica, count + part.limit.size + sites], axis=1).astype(np.int32)
        number = len(rows)
        model.highs.addCols(
            number, np.zeros(number), np.zeros(number), np.full(number, np.inf), 3 * number,
            np.arange(0, 3 * number, 3, dtype=np.int32), index.ravel(), np.ones(3 * number),
        )  # fmt: skip
        model.present |= fresh
        model.order = np.concatenate([model.order, rows * width + sites])

    def _renew(self, model: _Model, part: Part) -> None:
        """This pass's costs, demands and limits; a column that is no more allowed is closed."""
        count, width = part.cost.shape
        cost = part.cost.ravel()[model.order]
        allowed = np.isfinite(cost)
        total = count + len(model.order)
        every = np.arange(total, dtype=np.int32)
        costs = np.concatenate([np.full(count, part.penalty), np.where(allowed, cost, 0.0)]) / part.largest
        most = np.concatenate([np.full(count, np.inf), np.where(allowed, np.inf, 0.0)])
        model.highs.changeColsCost(total, every, costs)
        model.highs.changeColsBounds(total, every, np.zeros(total), most)
        site_limit = np.full(width, np.inf) if part.site_limit is None else part.site_limit
        upper = np.concatenate([part.demand, part.limit.ravel(), site_limit])
        lower = np.concatenate([part.demand, np.full(part.limit.size + width, -np.inf)])
        model.highs.changeRowsBounds(len(upper), np.arange(len(upper), dtype=np.int32), lower, upper)


def best_optimum() -> WarmSimplex | None:
    """The kept model where the `highspy` extra is there and OR-Tools is not in this process; else None, scipy."""
    return WarmSimplex() if find_spec("highspy") and "ortools" not in sys.modules else None
