"""Learn anew under which confidence an edge asks the cloud, where confidences have drifted; publish it as a version."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import Field

from tasks.acting import ActingRequest, approve, decided_before, keep_decisions, publish_acts
from tasks.inference.act import act_on
from tasks.inference.decide.drift import decide_recalibration
from tasks.inference.observe import observe_predictions
from tasks.inference.report import calibration_sections, explain, explain_all
from tasks.run import open_run


class CalibrationRequest(ActingRequest):
    """Which model, from which rows, for which accuracy."""

    model: str = Field("", description="name of the model")
    version: str = Field("", description="its version, or the beginning of a digest; default: the newest published")
    predictions: str = Field(
        "", description="CSV or Parquet of rows that both answered; default: among what edges tell"
    )
    hours: float = Field(
        24.0, gt=0, le=720, description="how far back to read what edges have told, in which drift is seen"
    )
    target_drop: float = Field(0.01, ge=0, le=1, description="how far the accuracy may lie under the cloud's, 0-1")
    edge_cost: float = Field(1.0, ge=0, description="of an edge's answer, where a file has none")
    cloud_cost: float = Field(10.0, gt=0, description="of the cloud's answer, in the same unit")
    anyway: bool = Field(False, description="also where nothing has drifted")


@flow(name="inference-calibration", description=__doc__)
def inference_calibration(request: CalibrationRequest = CalibrationRequest(), model: str = "") -> dict[str, Any]:
    """Observe, decide, record, approve, publish, report. `model`: what an event brings, in place of the request's."""
    run = open_run("inference-calibration", request.fleet, request.mode)
    ttl_s = float(request.approval_timeout_s)

    view = observe_predictions(run, model or request.model, request.version, request.predictions, request.hours,
                               request.edge_cost, request.cloud_cost)  # fmt: skip
    manifest = view.manifest

    rows = decided_before(run)
    if not rows:
        entry = decide_recalibration(
            manifest.model, manifest.version, view.rows, request.target_drop,
            threshold=manifest.escalation_threshold, metrics=manifest.metrics, confidence=view.confidence,
            anyway=request.anyway,
        )  # fmt: skip
        rows = keep_decisions(run, [entry], as_of=view.as_of, ttl_s=ttl_s, changes={"recalibrate"})
    approved = approve(
        run, rows, as_of=view.as_of, timeout_s=ttl_s, plan=explain_all,
        check=lambda changes: {each.subject: "a newer version was published" for each in changes
                               if each.content["version"] != manifest.version},
    )  # fmt: skip

    results = act_on(run, approved, manifest)

    told = calibration_sections([row.content for row in rows])
    return publish_acts(run, told, rows, results, [], explain, view.trouble)


if __name__ == "__main__":
    inference_calibration()
