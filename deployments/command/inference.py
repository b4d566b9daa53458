"""`continuum inference ...`: when the edge's answer is good enough, from predictions that were held back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals

SHOWN = 5
UNITS = ("pt", "points", "point", "pp", "%")

inference = typer.Typer(no_args_is_help=True, help="Hybrid inference: edge first, the cloud where the edge is unsure.")


def register(app: typer.Typer) -> None:
    """Add `continuum inference`."""
    app.add_typer(inference, name="inference")


@inference.callback()
def _group() -> None:
    """Keep `calibrate` a command of its own while it is the only one."""


@inference.command("calibrate")
def inference_calibrate(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS.csv", help="CSV or Parquet of held-back rows: "
                           "edge_confidence; edge_correct and cloud_correct (0 or 1), or edge_prediction, "
                           "cloud_prediction and label; edge_cost and cloud_cost if they differ by row")],
    target_drop: Annotated[str, typer.Option(help="how far the accuracy may lie under the cloud's: 1pt, 0.5%, "
                                             "0.01")] = "1pt",
    edge_cost: Annotated[float, typer.Option(min=0, max=1e9, help="of an answer, where the file has none; the edge "
                                             "is paid for every row")] = 1.0,
    cloud_cost: Annotated[float, typer.Option(min=0, max=1e9, help="of an answer, in the same unit")] = 10.0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Find the threshold of confidence under which to ask the cloud, for an accuracy that must be kept."""
    with refusals():
        from tasks.inference.decide.calibration import calibration_error, decide_calibration
        from tasks.inference.decide.threshold import SURE, decide_threshold
        from tasks.inference.files import read_predictions

        drop, refused = _drop(target_drop), list[str]()
        rows = read_predictions(predictions, edge_cost, cloud_cost, refused)
        found = decide_threshold(rows, drop)
        calibration = decide_calibration(rows.confidence, rows.edge_correct)
    for line in refused[:SHOWN] + ([f"and {len(refused) - SHOWN} more"] if len(refused) > SHOWN else []):
        err.print(f"{predictions}: {line}", highlight=False, markup=False, soft_wrap=True)
    edge, cloud = float(rows.edge_correct.mean()), float(rows.cloud_correct.mean())
    chance = found.escalated_ratio * cloud + (1 - found.escalated_ratio) * edge
    record = {
        "threshold": found.threshold, "escalated_ratio": found.escalated_ratio, "accuracy": found.accuracy,
        "cost_ratio": found.cost_ratio, "cloud_accuracy": cloud, "edge_accuracy": edge, "random_accuracy": chance,
        "accuracy_bound": cloud - found.drop_bound, "rows": len(rows.confidence),
        "calibration": {"method": calibration.method, "knots": calibration.knots, "values": calibration.values,
                        "threshold": float(calibration(found.threshold)),
                        "error_before": calibration_error(rows.confidence, rows.edge_correct)},
    }  # fmt: skip
    if as_json:
        print_json(record)
        return
    for line in (
        f"Ask the cloud where the confidence is under {found.threshold:.6g} (calibrated by {calibration.method}: "
        f"{float(calibration(found.threshold)):.3f}): {found.escalated_ratio:.1%} of {len(rows.confidence):,} rows.",
        f"Accuracy {found.accuracy:.2%}; cloud alone {cloud:.2%}, edge alone {edge:.2%}, as many rows at random "
        f"{chance:.2%}. It lies {found.drop_bound:.2%} under the cloud's at most, with confidence {SURE:.0%}.",
        f"Cost: {found.cost_ratio:.1%} of asking the cloud about every row.",
    ):
        out.print(line, highlight=False, soft_wrap=True)


def _drop(text: str) -> float:
    """A drop as a ratio: `1pt`, `1%` and `0.01` are the same; a bare number from 0.2 on has no clear unit."""
    words = text.strip().lower()
    unit = next((unit for unit in UNITS if words.endswith(unit)), "")
    fix = "write 1pt, 0.5% or 0.01"
    try:
        number = float(words.removesuffix(unit)) / (100 if unit else 1)
    except ValueError:
        raise InvalidInput(f"`{text:.40}` is no drop of accuracy", where="--target-drop", fix=fix) from None
    if not 0 <= number <= (1 if unit else 0.2):
        raise InvalidInput(f"`{text:.40}` is out of range, or lacks its unit", where="--target-drop", fix=fix)
    return number
