"""A threshold learnt by the flow from what edges have told: published, held while nothing drifts, renewed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blocks.fleet import Fleet
from blocks.models import Registry
from blocks.store import Store
from blocks.store.edges import NewEdge, add_edges, take_outbox
from blocks.store.tables import Mode
from flows.inference_calibration import CalibrationRequest, inference_calibration
from tasks.inference import watch
from tasks.inference.watch import announce_drift
from tasks.run import open_run

pytestmark = pytest.mark.server

REQUEST = CalibrationRequest(model="digits", mode=Mode.ACT)


def told(store: Store, edge: str, many: int, shift: float) -> None:
    """Predictions in an edge's outbox, and one item that is none."""
    draw = np.random.default_rng(many)
    bodies: list[dict[str, Any]] = [{"model": "digits", "edge_confidence": 7}]
    for confidence in (draw.beta(5, 1.5, many) * (1 - shift)).tolist():
        bodies.append({"model": "digits", "edge_confidence": confidence, "cloud_correct": 1,
                       "edge_correct": int(draw.random() < confidence)})  # fmt: skip
    items = [{"seq": at + 1, "kind": "prediction", "ts": "", "body": body} for at, body in enumerate(bodies)]
    add_edges(store, [NewEdge(edge)])
    take_outbox(store, edge, "e", items)


def decision_of(answer: dict[str, Any]) -> dict[str, Any]:
    (decision,) = answer["decisions"]
    return dict(decision)


def test_a_threshold_is_published_held_and_renewed_after_drift(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "emit", lambda event, identity: None)
    registry = Registry.open(Store.open())
    first = registry.publish("digits", "1", {"model.onnx": b"onnx"})
    assert decision_of(inference_calibration(REQUEST))["action"] == "refuse"

    told(registry.store, "a", 400, shift=0.0)
    assert decision_of(inference_calibration(REQUEST.model_copy(update={"mode": Mode.SHADOW})))["result"] is None
    assert len(registry.versions("digits")) == 1
    answer = inference_calibration(REQUEST)
    assert answer["trouble"] == ["edge a, item 1: is no prediction: left out"]
    second = registry.manifest(registry.version("digits").digest)
    assert (second.files, second.parent) == (first.files, first.digest)
    assert second.escalation_threshold == pytest.approx(decision_of(answer)["threshold"])

    assert decision_of(inference_calibration(REQUEST))["action"] == "hold"
    run = open_run("fleet-monitoring", "default")
    assert announce_drift(run) == []
    told(registry.store, "b", 1500, shift=0.4)
    (event,) = announce_drift(run)
    assert (event.model, event.version, event.rows) == ("digits", registry.version("digits").version, 1900)
    assert event.psi > 0.2
    again = decision_of(inference_calibration(REQUEST.model_copy(update={"model": ""}), event.model))
    assert (again["action"], again["reasons"][0]["code"]) == ("recalibrate", "drift")
    third = registry.manifest(registry.version("digits").digest)
    assert (third.parent, len(registry.versions("digits"))) == (second.digest, 3)
    assert third.escalation_threshold != second.escalation_threshold
