"""Confidences of a sample of the answers, from a request over a socket to what the hub is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from blocks.tensors import encode
from deployments.edge.http import Request
from deployments.edge.oip import Service
from deployments.edge.sampling import MOST_KEPT, MOST_ROWS, Sampled
from deployments.edge.serving import told_apart

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def ask(agent, rows: int):
    body, _ = encode({"rows": np.zeros((rows, 4), np.float32)}, "", binary=False)
    service = Service(agent.models, agent.keeper, agent.meters, seen=agent.sampled)
    reply = service(Request("POST", "/v2/models/digits/infer", {}, body))
    return reply if isinstance(reply, tuple) else reply()


@pytest.fixture
def agent(hub, started):
    hub.publish("1", bias=3.0)
    made = started()
    made.converge(made.hub())
    made.sampled = Sampled(1.0)
    return made


def test_what_is_answered_is_told_with_its_version_and_no_row(hub, agent):
    answered = json.loads(ask(agent, 2).body)
    sure = max(next(each for each in answered["outputs"] if each["name"] == "probabilities")["data"][:3])
    agent.tell_predictions()
    agent.send(agent.hub())
    (items,) = hub.items.values()
    wanted = {"model": "digits", "digest": agent.models.get("digits").digest, "edge_confidence": round(sure, 6)}
    assert [(item["kind"], item["body"]) for item in items] == [("prediction", wanted)] * 2


def test_a_sample_is_a_share_of_the_rows_and_bounded(agent):
    agent.sampled = Sampled(0.1, np.random.default_rng(1))
    for _ in range(40):
        ask(agent, 20)
    assert len(agent.sampled.take()) == pytest.approx(80, rel=0.3)
    agent.sampled = Sampled(1.0)
    ask(agent, 500)
    assert len(agent.sampled.take()) == MOST_ROWS
    for _ in range(20):
        ask(agent, 100)
    assert len(agent.sampled.take()) == MOST_KEPT
    assert agent.sampled.take() == []
    agent.sampled = Sampled(0.0)
    ask(agent, 500)
    assert agent.sampled.take() == []


@pytest.mark.parametrize("odd", [[[0.5, 0.6]], [[np.nan, 1.0]], [[-0.5, 1.5]], [0.5, 0.5], [[1.0]], [[3, 4]]])
def test_outputs_that_are_no_probabilities_are_not_sampled(odd):
    assert told_apart({"odd": np.array(odd)}) is None
