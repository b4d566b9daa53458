"""Run inside the peers' environment: LightGBM learns the lessons of the product's trees, one quantile each, one thread.

`python boosting.py FILE.npz OUT.npz`. FILE: `table` (R, F), `left` (R, Q), `levels` (Q,), `rows` (M, F) to predict,
`settings` as JSON. OUT: `answers` (M, Q), `fit_cpu_s`, `predict_cpu_s`.
"""

import json
import sys
import time

import lightgbm
import numpy as np


def main() -> None:
    """Fit and predict."""
    given = np.load(sys.argv[1])
    settings = json.loads(str(given["settings"]))
    answers = np.empty((len(given["rows"]), len(given["levels"])), np.float32)
    table, rows = given["table"], given["rows"]
    seconds = {"fit_cpu_s": 0.0, "predict_cpu_s": 0.0}
    for q, level in enumerate(given["levels"]):
        begun = time.process_time()
        about = {"objective": "quantile", "alpha": float(level), "num_threads": 1, "seed": 0, "verbosity": -1}
        lessons = lightgbm.Dataset(table, given["left"][:, q])
        model = lightgbm.train(about | settings, lessons)
        fitted = time.process_time()
        answers[:, q] = model.predict(rows, num_threads=1)
        seconds["fit_cpu_s"] += fitted - begun
        seconds["predict_cpu_s"] += time.process_time() - fitted
    np.savez(sys.argv[2], answers=answers, **seconds)


if __name__ == "__main__":
    main()
