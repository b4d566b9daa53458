"""An exported model gives what ours and what scikit-learn's own converter give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from deployments.command import app
from tasks.federation.decide.models import Shape, first_model, log_probabilities
from tasks.federation.export import Trained, to_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

DRAW = np.random.default_rng(1)
ROWS = (3 * DRAW.normal(size=(200, 6)) + 5).astype(np.float32)
LABELS = (ROWS[:, 0] + ROWS[:, 1] * 2 > 15).astype(int) + (ROWS[:, 2] > 5)


def run(model: bytes, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    label, probabilities = session.run(None, {session.get_inputs()[0].name: rows})
    return label, probabilities


@pytest.mark.parametrize("hidden", [0, 9])
def test_an_exported_model_answers_as_ours_does(hidden: int) -> None:
    shape = Shape(6, 3, hidden)
    vector = first_model(shape, 1) + DRAW.normal(size=shape.size).astype(np.float32)
    middle, spread = ROWS.mean(axis=0), ROWS.std(axis=0)
    file = to_onnx(Trained(shape, vector, middle, spread, 1.0, ("a", "b", "c")))
    assert file == to_onnx(Trained(shape, vector, middle, spread, 1.0, ("a", "b", "c")))
    label, probabilities = run(file, ROWS)
    ours = log_probabilities(shape, vector, np.clip((ROWS - middle) / spread, -1, 1))
    assert probabilities == pytest.approx(np.exp(ours), abs=1e-5)
    assert (label == ours.argmax(axis=1)).mean() > 0.99


@pytest.mark.parametrize("hidden", [0, 8])
def test_scikit_learns_weights_give_the_same_through_skl2onnx_and_through_ours(hidden: int) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    scale = StandardScaler()
    learner = MLPClassifier((hidden,), max_iter=200, random_state=1) if hidden else LogisticRegression()
    pipeline = make_pipeline(scale, learner).fit(ROWS, LABELS)
    theirs = skl2onnx.to_onnx(pipeline, ROWS[:1], options={"zipmap": False}).SerializeToString()
    layers = (
        zip(learner.coefs_, learner.intercepts_, strict=True) if hidden else [(learner.coef_.T, learner.intercept_)]
    )
    vector = np.concatenate([part.ravel() for layer in layers for part in layer]).astype(np.float32)
    trained = Trained(Shape(6, 3, hidden), vector, scale.mean_, scale.scale_, 1e6, ("0", "1", "2"))
    (label, probabilities), (their_label, their_probabilities) = run(to_onnx(trained), ROWS), run(theirs, ROWS)
    assert np.array_equal(label, their_label)
    assert probabilities == pytest.approx(their_probabilities, abs=1e-5)


def test_the_command_writes_the_model_with_its_digest_and_classes(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    words = ["federate", "simulate", "--dataset", "digits", "--rounds", "3", "--out", str(file), "--json"]
    told = json.loads(CliRunner().invoke(app, words).stdout)
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert about["digest"] == told["digest"]
    assert about["classes"].split("\n") == list("0123456789")
