"""The demo's model: trained on edges in five rounds, rolled out to them, and asked where it is served."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blocks.errors import Unreachable
from blocks.files import write_atomically
from blocks.models import Registry, public_pem
from blocks.settings import home
from blocks.store import Store
from blocks.store.edges import NewEdge, add_edges, edges, remove_edge
from deployments.children import Child
from deployments.evidence import Outcome
from deployments.hub import Hub, running_hub
from deployments.local.edges import SimulatedEdge, on_disks, running_edges, trainer
from tasks.federation.files import Dataset, read_dataset
from tasks.federation.world import Asked, World, build_world
from tasks.sections import section

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

SIMULATED, ROUNDS = 9, 5
AGENT = "demo-agent"  # a real edge agent in a process of its own, beside the simulated edges
MODEL = "digits"
PATIENCE_S = 60.0

Run = Callable[[str, Callable[[], "State[dict[str, Any]]"]], dict[str, Any]]


def train_and_roll_out(outcome: Outcome, run: Run) -> None:
    """Digits, dealt to ten edges that keep their rows; afterwards the agent is asked about rows that nobody trained on.

    run: carries a flow of a name out, and gives its document.
    """
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        outcome.models = {
            "skipped": "onnx and onnxruntime are not installed: pip install 'continuum-fleet[federation]'"
        }
        return
    from flows.federated_training import FederatedRequest, federated_training
    from flows.model_rollout import RolloutRequest, model_rollout

    dataset = read_dataset(MODEL, "", [])
    world = build_world(dataset, Asked(devices=SIMULATED + 1))
    folder, store = home() / "edges", Store.open()
    shutil.rmtree(folder, ignore_errors=True)
    registry = Registry.open(store)
    with running_hub(Hub(store, registry)) as url, contextlib.ExitStack() as stack:
        tokens = _known(store)
        made = [
            SimulatedEdge(name, token, url, registry.key.public_key(), folder / name,
                          trains=trainer(name, dataset.rows[part], dataset.labels[part]))
            for (name, token), part in zip(tokens.items(), world.parts, strict=True) if name != AGENT
        ]  # fmt: skip
        stack.enter_context(running_edges(made, workers=2, pause_s=0.1))
        agent = stack.enter_context(_agent(folder / AGENT, url, tokens[AGENT], registry, dataset, world))
        served = json.loads(agent.first_line() or "{}").get("url", "")
        if not served:
            raise Unreachable("the edge agent did not start", where=str(folder / AGENT), fix="read its agent.log")
        _until(lambda: all(edge.seen_at for edge in edges(store) if edge.name in tokens))
        asked = FederatedRequest.model_validate(
            {"mode": "act", "model": MODEL, "rounds": ROUNDS, "fraction": 0.5, "deadline_s": 20}
        )
        trained = run("federated-training", lambda: federated_training(asked, return_state=True))
        pace = RolloutRequest.model_validate({"mode": "act", "model": MODEL, "soak_s": 0, "patience_s": PATIENCE_S})
        rolled = run("model-rollout", lambda: model_rollout(pace, return_state=True))
        wanted = registry.version(MODEL)
        _until(lambda: on_disks(made, MODEL)[wanted.digest] == len(made))
        outcome.models = {
            "rounds": _words(trained), "rollout": _words(rolled), "version": wanted.version, "digest": wanted.digest,
            "edges": {"simulated": on_disks(made, MODEL)[wanted.digest], "agents": 1},
            "accuracy": _asked(served, dataset, world), "rows": len(world.test),
        }  # fmt: skip
    if outcome.models["accuracy"] < 0.5 or outcome.models["edges"]["simulated"] != SIMULATED:
        outcome.problems.append("the model did not reach every edge, or knows nothing; look at the report")


def models_section(outcome: Outcome) -> dict[str, Any]:
    """What became of the model."""
    return section("A model trained on edges and brought to them (nine of ten edges are simulated)",
                   [summary(outcome.models)])  # fmt: skip


def summary(told: Mapping[str, Any]) -> str:
    """The whole in one line."""
    if "skipped" in told:
        return f"not shown: {told['skipped']}"
    return (f"{told['rounds']}; rolled out to {told['edges']['simulated']} simulated edges and an edge agent, which "
            f"answers {told['accuracy']:.1%} of {told['rows']} unseen rows right")  # fmt: skip


def _known(store: Store) -> dict[str, str]:
    """Tokens of the demo's edges, also where an earlier demo has left some of that name."""
    names = [*(f"demo-edge-{number}" for number in range(SIMULATED)), AGENT]
    for edge in edges(store):
        if edge.name in names:
            remove_edge(store, edge.name)
    return add_edges(store, [NewEdge(name, region=("eu", "us")[number % 2], simulated=name != AGENT)
                             for number, name in enumerate(names)])  # fmt: skip


def _agent(folder: Path, hub: str, token: str, registry: Registry, dataset: Dataset, world: World) -> Child:
    rows, labels = dataset.rows[world.parts[-1]], dataset.labels[world.parts[-1]]
    table = np.column_stack([rows, labels])
    names = ",".join([*(f"x{number}" for number in range(rows.shape[1])), "label"])
    lines = [",".join(f"{cell:g}" for cell in line) for line in table.tolist()]
    write_atomically(folder / "rows.csv", "\n".join([names, *lines]) + "\n")
    write_atomically(folder / "token", token, mode=0o600)
    write_atomically(folder / "hub.pem", public_pem(registry.key))
    write_atomically(folder / "edge.toml", f"""edge = "{AGENT}"
state = "state"
[hub]
url = "{hub}"
token_file = "token"
poll_s = 0.5
[models]
trusted_keys = ["hub.pem"]
[training]
rows = "rows.csv"
""")  # fmt: skip
    command = [sys.executable, "-m", "deployments.edge", "--config", str(folder / "edge.toml")]
    return Child("edge agent", command, env=os.environ, log=folder / "agent.log")


def _asked(url: str, dataset: Dataset, world: World) -> float:
    """Accuracy on the test's rows, asked through the Open Inference Protocol."""
    from blocks.inference import InferenceEndpoint, client

    with client(url) as http:
        endpoint = InferenceEndpoint(url, http)
        _until(lambda: endpoint.ready(MODEL))
        found = endpoint.infer(MODEL, {"rows": dataset.rows[world.test]}, binary=True)["label"]
    return float((found == dataset.labels[world.test]).mean())


def _words(told: Mapping[str, Any]) -> str:
    ends = [row["result"]["detail"] for row in told.get("decisions", []) if row["result"]]
    return "; ".join(ends) or "nothing was done"


def _until(true: Callable[[], Any]) -> None:
    """Wait for it a while; what is missing then is told by what follows."""
    end = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
