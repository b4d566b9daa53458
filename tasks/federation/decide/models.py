"""Small classifiers as one flat float32 vector: softmax regression, and a network with one hidden layer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Rows = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """How a vector is read. hidden: units of the hidden layer (ReLU); 0 is softmax regression.

    >>> Shape(64, 10).size, Shape(64, 10, 64).size
    (650, 4810)
    """

    features: int
    classes: int
    hidden: int = 0

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of each layer; each has inputs * outputs weights, then its biases."""
        if not self.hidden:
            return ((self.features, self.classes),)
        return (self.features, self.hidden), (self.hidden, self.classes)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.layers)

    def tensors(self, vector: Vector) -> list[tuple[Rows, Vector]]:
        """(weights (inputs, outputs), biases (outputs,)) of each layer: views into `vector`, not copies."""
        views, at = [], 0
        for inputs, outputs in self.layers:
            end = at + inputs * outputs
            views.append((vector[at:end].reshape(inputs, outputs), vector[end : end + outputs]))
            at = end + outputs
        return views

    def digest(self, vector: Vector) -> str:
        """sha256 of the shape and the little-endian bytes: the name of a model, the same on every machine."""
        return hashlib.sha256(self.head() + vector.astype("<f4", copy=False).tobytes()).hexdigest()

    def head(self) -> bytes:
        """The line before the bytes of a model."""
        return f"continuum.model/1 {self.features} {self.hidden} {self.classes}\n".encode()


def first_model(shape: Shape, seed: int) -> Vector:
    """Where training begins: zeros for softmax regression (convex), else He's normal weights (2015), zero biases."""
    vector = np.zeros(shape.size, np.float32)
    if shape.hidden:
        draw = np.random.default_rng([seed, 0])
        for weights, _ in shape.tensors(vector):
            weights[:] = draw.normal(0.0, np.sqrt(2 / len(weights)), weights.shape)
    return vector


def log_probabilities(shape: Shape, vector: Vector, rows: Rows) -> Rows:
    """(N, classes) natural logarithms of the class probabilities of (N, features) rows."""
    *hidden, (weights, biases) = shape.tensors(vector)
    for inner, bias in hidden:
        rows = np.maximum(rows @ inner + bias, 0)
    scores = rows @ weights + biases
    scores -= scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return np.asarray(scores, np.float32)


def accuracy(shape: Shape, vector: Vector, rows: Rows, labels: Labels) -> float:
    """Share of (N,) labels that the most probable class meets, 0-1."""
    return float((log_probabilities(shape, vector, rows).argmax(axis=1) == labels).mean())
