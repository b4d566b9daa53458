"""A threshold learnt by the flow from what edges have told: published, held while nothing drifts, renewed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blocks.fleet import Fleet
from blocks.models import Registry, public_pem
from blocks.store import Store
from blocks.store.edges import NewEdge, add_edges, set_wanted, take_outbox
from blocks.store.tables import Mode
from deployments.edge.agent import Agent
from deployments.edge.config import read_config
from deployments.hub import Hub, running_hub
from flows.inference_calibration import CalibrationRequest, inference_calibration
from tasks.federation.decide.models import Shape
from tasks.federation.export import Trained, to_onnx
from tasks.inference import watch
from tasks.inference.decide.drift import deciles
from tasks.inference.watch import announce_drift
from tasks.run import open_run
from tests.deployments.edge.small_hub import configuration

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


def test_what_a_real_agent_answers_shows_the_drift(fleet: Fleet, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    registry, rows = Registry.open(Store.open()), np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    shape = Shape(4, 3)
    weights = np.random.default_rng(1).normal(size=shape.size).astype(np.float32)
    model = to_onnx(Trained(shape, weights, np.zeros(4, np.float32), np.ones(4, np.float32), 5.0, ("a", "b", "c")))
    flat = deciles(np.linspace(0.9, 1.0, 500))  # as if it had been learnt on sure answers
    made = registry.publish("small", "1", {"model.onnx": model}, metrics=flat, escalation_threshold=0.5)
    token = add_edges(registry.store, [NewEdge("munich")])["munich"]
    set_wanted(registry.store, "small", {"munich": made.digest})
    with running_hub(Hub(registry.store, registry)) as url:
        path = configuration(url, tmp_path, more="[serve]\nsample_ratio = 1.0", edge="munich", token=token)
        (tmp_path / "hub.pem").write_text(public_pem(registry.key))
        agent = Agent(read_config(path))
        agent.converge(agent.hub())
        for some in np.split(rows, 6):
            agent.sampled(agent.models.get("small"), agent.models.get("small").run({"rows": some}))
        agent.tell_predictions()
        agent.send(agent.hub())
        agent.close()
    found = decision_of(inference_calibration(REQUEST.model_copy(update={"model": "small"})))
    assert (found["action"], found["seen"], found["rows"]) == ("refuse", 300, 0)
    assert found["reasons"][0]["code"] == "drift-unlabelled"
    file = tmp_path / "rows.csv"
    lines = [f"{0.4 + 0.6 * at / 300},{at % 3 > 0:d},1" for at in range(300)]
    file.write_text("\n".join(["edge_confidence,edge_correct,cloud_correct", *lines]))
    mended = REQUEST.model_copy(update={"model": "small", "predictions": str(file)})
    assert decision_of(inference_calibration(mended))["result"]["state"] == "done"
    assert decision_of(inference_calibration(mended))["action"] == "hold"
