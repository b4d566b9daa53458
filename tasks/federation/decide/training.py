"""What a device does in a round: a few epochs of stochastic gradient descent on its own rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.federation.decide.models import Labels, Rows, Shape, Vector


@dataclass(frozen=True)
class Training:
    """How to train. rate: step of the descent. decay: L2 penalty on weights (not on biases). batch: rows a step."""

    epochs: int = 5
    rate: float = 0.2
    batch: int = 16
    decay: float = 1e-4


def train(shape: Shape, base: Vector, rows: Rows, labels: Labels, how: Training, seed: list[int]) -> Vector:
    """The model after `how.epochs` passes over the rows from `base`, which is left as it is.

    Parameters
    ----------
    base: (shape.size,). rows: (N, features). labels: (N,), 0 ... classes - 1.
    seed: of the order of the rows; e.g. [seed of the run, round, device], so that a round can be replayed.
    """
    model, draw = base.copy(), np.random.default_rng(seed)
    layers = shape.tensors(model)
    for _ in range(how.epochs):
        order = draw.permutation(len(rows))
        for at in range(0, len(rows), how.batch):
            some = order[at : at + how.batch]
            _step(layers, rows[some], labels[some], how)
    return model


def _step(layers: list[tuple[Rows, Vector]], rows: Rows, labels: Labels, how: Training) -> None:
    """One step down the mean cross-entropy of a batch, in place."""
    (weights, biases), *_ = reversed(layers)
    inner = layers[0] if len(layers) > 1 else None
    active = np.maximum(rows @ inner[0] + inner[1], 0) if inner else rows
    scores = active @ weights + biases
    scores -= scores.max(axis=1, keepdims=True)
    error = np.exp(scores)
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error *= how.rate / len(labels)
    if inner:
        behind = (error @ weights.T) * (active > 0)
        inner[0][:] = inner[0] * (1 - how.rate * how.decay) - rows.T @ behind
        inner[1][:] -= behind.sum(axis=0)
    weights *= 1 - how.rate * how.decay
    weights -= active.T @ error
    biases -= error.sum(axis=0)
