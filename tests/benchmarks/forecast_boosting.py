"""LightGBM in the place of scikit-learn's gradient boosting inside the engine `trees`: same rows, same features.

What `trees` hands to scikit-learn is overheard and given to LightGBM too; what it asks of its own trees is answered by
LightGBM's. Nothing is calibrated or combined here: accuracy of the two libraries' trees alone, on the linear model.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import sklearn.ensemble
from forecast_panels import Matrix
from forecast_peers import PLACE
from forecast_scores import LEVELS, judged

from blocks.series import Float
from tasks.forecasting.decide.backtest import rolling_origins
from tasks.forecasting.decide.engines import fit_panels
from tasks.forecasting.decide.features import design, joined, window_width
from tasks.forecasting.decide.history import last_column, past, recent
from tasks.forecasting.decide.scores import usual_change
from tasks.forecasting.decide.trees import TreesModel
from tasks.forecasting.decide.windows import eligible

ORIGINS_SCORED = 8
TIMEOUT_S = 300


@contextmanager
def overheard() -> Iterator[dict[str, Any]]:
    """What is given to scikit-learn's regressor in the meantime, and the CPU seconds that it takes."""
    heard: dict[str, Any] = {"left": [], "fit_cpu_s": 0.0}

    class Regressor(sklearn.ensemble.HistGradientBoostingRegressor):
        def fit(self, table: Float, left: Float) -> Any:
            heard["left"].append(left)
            heard["table"] = table
            heard["settings"] = {"n_estimators": self.max_iter, "num_leaves": self.max_leaf_nodes,
                                 "max_depth": self.max_depth, "learning_rate": self.learning_rate,
                                 "min_child_samples": self.min_samples_leaf}  # fmt: skip
            begun = time.process_time()
            super().fit(table, left)
            heard["fit_cpu_s"] += time.process_time() - begun
            return self

    with mock.patch.object(sklearn.ensemble, "HistGradientBoostingRegressor", Regressor):
        yield heard


def judged_windows(found: Sequence[Matrix], horizon: int, origins: int) -> dict[str, Any]:
    """Designs, outcomes and MASE scales of the windows at some of the backtest's origins."""
    designs, parts, count = [], [], 0
    for matrix in found:
        history, day = matrix.history, 86_400 // matrix.history.step_s
        moments = rolling_origins(history, horizon, origins)
        for place in np.unique(np.linspace(0, len(moments) - 1, ORIGINS_SCORED).astype(int)):
            last = last_column(history, moments[place])
            view = past(recent(history, last, window_width(day)), day)
            fit = np.flatnonzero(eligible(view))
            if len(fit):
                designs.append(design(view.rows(fit), horizon))
                change = usual_change(history.values[:, : last + 1], day)[fit]
                parts.append((count + fit, recent(history, last + horizon, horizon)[fit], change))
        count += len(history.unique_id)
    series, actual, change = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {"design": joined(designs), "series": series, "actual": actual, "change": change}


def lightgbm(python: Path, heard: dict[str, Any], rows: Float) -> dict[str, Any]:
    """LightGBM's answers for rows of the table, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as name:
        given, out = Path(name) / "given.npz", Path(name) / "out.npz"
        np.savez(given, table=heard["table"], left=np.stack(heard["left"], axis=1), levels=LEVELS, rows=rows,
                 settings=json.dumps(heard["settings"]))  # fmt: skip
        command = [str(part) for part in (python, PLACE / "boosting.py", given, out)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
        return dict(np.load(out))


def boosting(
    python: Path, found: Sequence[Matrix], horizon: int, origins: int, say: Callable[[str], None]
) -> dict[str, Any]:  # fmt: skip
    """Accuracy of the linear model and both libraries' trees on it, and the seconds they take."""
    first = [(matrix.history, rolling_origins(matrix.history, horizon, origins)[0]) for matrix in found]
    say("boosting: scikit-learn")
    with overheard() as heard:
        model = fit_panels(first, horizon, LEVELS, engine="trees")
    assert isinstance(model, TreesModel)
    asked = judged_windows(found, horizon, origins)
    windows, walked, taken = asked["design"], TreesModel._walked, {}

    def score(shares: Float) -> dict[str, float]:
        values = shares * windows.scale[:, None, None] + windows.centre[:, None, None]
        return judged(asked["series"], asked["actual"], asked["change"], values)

    def listen(self: TreesModel, rows: Float) -> Float:
        begun = time.process_time()
        answer = walked(self, rows)
        taken.update(rows=rows, predict_cpu_s=time.process_time() - begun)
        return answer

    with mock.patch.object(TreesModel, "_walked", listen):
        ours = score(model.shares(windows))
    report: dict[str, Any] = {
        "windows": len(asked["series"]), "rows_learned": len(heard["table"]), "rows_predicted": len(taken["rows"]),
        "linear alone": score(model.base.shares(windows)),
        "scikit-learn": ours | {"fit_cpu_s": heard["fit_cpu_s"], "predict_cpu_s": taken["predict_cpu_s"]},
    }  # fmt: skip
    say("boosting: LightGBM")
    try:
        theirs = lightgbm(python, heard, taken["rows"])
    except subprocess.SubprocessError as error:
        say(f"boosting: LightGBM gave no answer: {getattr(error, 'stderr', None) or error}")
        return report
    with mock.patch.object(TreesModel, "_walked", return_value=theirs["answers"]):
        seconds = {name: float(theirs[name]) for name in ("fit_cpu_s", "predict_cpu_s")}
        report["LightGBM"] = score(model.shares(windows)) | seconds
    return report
