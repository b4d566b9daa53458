"""What a node does in a round: five epochs of plain SGD on its own rows, as `tasks/federation/decide/training.py`."""

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

EPOCHS, BATCH, RATE, DECAY = 5, 16, 0.2, 1e-4

app = ClientApp()


@app.train()
def train(message, context):
    folder, part = Path(context.run_config["folder"]), context.node_config["part"]
    with np.load(folder / f"{part}.npz") as data:
        rows, labels = data["rows"], data["labels"]
    weights, biases = (each.copy() for each in message.content["arrays"].to_numpy_ndarrays())
    draw = np.random.default_rng(part)
    for _ in range(EPOCHS):
        order = draw.permutation(len(rows))
        for at in range(0, len(rows), BATCH):
            some = order[at : at + BATCH]
            scores = rows[some] @ weights + biases
            error = np.exp(scores - scores.max(axis=1, keepdims=True))
            error /= error.sum(axis=1, keepdims=True)
            error[np.arange(len(some)), labels[some]] -= 1
            error *= RATE / len(some)
            weights *= 1 - RATE * DECAY
            weights -= rows[some].T @ error
            biases -= error.sum(axis=0)
    content = {"arrays": ArrayRecord([weights, biases]), "metrics": MetricRecord({"num-examples": len(rows)})}
    return Message(content=RecordDict(content), reply_to=message)
