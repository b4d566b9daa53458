"""Whether confidences still come as they did when a threshold was learnt, and what follows for the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tasks.inference.decide.calibration import Floats
from tasks.inference.decide.threshold import Predictions, decide_threshold

PSI = 0.2  # from here on a distribution is commonly called another one (Siddiqi 2006)
LEAST_ROWS = 200  # fewer say little: ten bins of twenty
FEW = 1e-4  # an empty bin counts as this share
PLACES = tuple(f"confidence_p{share}" for share in range(10, 100, 10))  # of the deciles among a manifest's metrics


def deciles(confidence: Floats) -> dict[str, float]:
    """The nine deciles of (N,) confidences, by the names under which a manifest keeps them."""
    cuts = np.quantile(confidence, np.arange(1, 10) / 10)
    return dict(zip(PLACES, cuts.tolist(), strict=True))


def stability_index(reference: Mapping[str, float], confidence: Floats) -> float:
    """Population stability index of (N,) confidences to nine deciles: sum (p - q) ln(p / q), 0 where nothing changed.

    Deciles that are equal bound no bin: many confidences are the same there (1, of a sure model), and how many of them
    lie beyond the tenth is not known.

    >>> rows = np.linspace(0, 1, 1000)
    >>> stability_index(deciles(rows), rows) < 0.01 < PSI < stability_index(deciles(rows), rows / 2)
    True
    """
    cuts, counts = np.unique([reference[name] for name in PLACES], return_counts=True)
    below = np.cumsum(counts) / 10
    cuts, below = cuts[counts == 1], below[counts == 1]
    wanted = np.diff(below, prepend=0.0, append=1.0)
    found = np.bincount(np.searchsorted(cuts, confidence, side="left"), minlength=len(wanted)) / len(confidence)
    there, was = np.maximum(found, FEW), np.maximum(wanted, FEW)
    return float(((there - was) * np.log(there / was)).sum())


def decide_recalibration(
    model: str, version: str, rows: Predictions, target_drop: float, *, threshold: float | None,
    metrics: Mapping[str, float], confidence: Floats | None = None, anyway: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A decision's entry: recalibrate (never calibrated, drift, or asked for), hold, or refuse for want of rows.

    Parameters
    ----------
    rows: held-back rows of late, answered by both. threshold, metrics: of the manifest that is in force.
    confidence: (N,) of what edges have answered of late, in which drift is looked for; default: that of the rows.
    """
    seen = rows.confidence if confidence is None else confidence
    entry: dict[str, Any] = {"unique_id": model, "model": model, "version": version, "rows": len(rows.confidence),
                             "seen": len(seen), "before": threshold, "action": "hold", "reasons": []}  # fmt: skip
    few = {"action": "refuse", "reasons": [{"code": "too-few-rows", "numbers": {"least": LEAST_ROWS}}]}
    if len(seen) < LEAST_ROWS:
        return entry | few
    known = threshold is not None and all(name in metrics for name in PLACES)
    index = stability_index(metrics, seen) if known else None
    code = "never-calibrated" if index is None else "drift" if index > PSI else "asked" if anyway else "no-drift"
    entry["reasons"] = [{"code": code, "numbers": {"psi": index}}]
    if code == "no-drift":
        return entry
    if len(rows.confidence) < LEAST_ROWS:
        unlabelled = {"code": "drift-unlabelled", "numbers": {"psi": index, "least": LEAST_ROWS}}
        return entry | (few | {"reasons": [unlabelled]} if code == "drift" else few)
    found = decide_threshold(rows, target_drop)
    return entry | {"action": "recalibrate", **asdict(found), "deciles": deciles(seen)}
