"""Rounds on real edges: open, wait to the deadline, close, publish. Every step can be killed and done again."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from threadpoolctl import threadpool_limits

from blocks.errors import ContinuumError, NotFound, Refused
from blocks.manifest import Manifest
from blocks.models import Registry
from blocks.store.rounds import (
    CLOSED,
    close_round,
    open_round,
    round_of,
    rounds,
    standing_before,
    stop_round,
    updates_of,
)
from blocks.store.tables import Decision, Mode, RoundUpdate, State, TrainingRound, Verdict, now
from blocks.tensors import describe
from tasks.acting import Result
from tasks.federation.decide.cohort import Wish, decide_asked
from tasks.federation.decide.models import Shape, Vector, first_model, log_probabilities
from tasks.federation.decide.privacy import Privacy, epsilon_after
from tasks.federation.decide.rounds import Closed, Rules, Standing, decide_close, decide_round, replay
from tasks.federation.decide.server import Memory, step_of
from tasks.federation.decide.updates import Call
from tasks.federation.decide.wire import model_bytes, read_model
from tasks.federation.export import Trained, to_onnx
from tasks.federation.observe import View, devices, ledger_of
from tasks.federation.report import drawn
from tasks.federation.world import FARTHEST, NOISE, SELECT, World
from tasks.run import Run

LOOK_S = (0.02, 0.5)  # first and longest pause between two looks at what has come
LEASE_S = 120.0
CANARY_ROWS = 4


@dataclass(frozen=True)
class Kept:
    """An `Answer` whose numbers are read from the registry each time: any number of them needs the memory of one."""

    registry: Registry
    device: int
    round: int
    base: str
    examples: int
    digest: str

    @property
    def delta(self) -> Vector:
        """Model minus base."""
        return self.registry.numbers(self.digest)


@dataclass(frozen=True)
class Round:
    """A stored round with what its decisions need."""

    registry: Registry
    row: TrainingRound

    @cached_property
    def shape(self) -> Shape:
        """Of its model."""
        return Shape(*self.row.content["shape"])

    @property
    def rules(self) -> Rules:
        """How it is aggregated."""
        asked = self.row.content
        if not asked.get("privacy"):
            return Rules(asked["rule"], asked["hostile"], asked["step"])
        secret = int.from_bytes(self.registry.get(asked["secret"], "updates"))
        return Rules(asked["rule"], asked["hostile"], asked["step"], Privacy(**asked["privacy"]), (secret, NOISE))

    def standing(self) -> Standing:
        """What stood when it was opened."""
        before = self.row.content["standing"]
        first, second = (self.registry.numbers(each) if each else None for each in before["memory"])
        _, model = read_model(self.registry.get(self.row.base))
        return Standing(model, before["score"], before["best"], Memory(first, second))

    def answers(self, updates: Sequence[RoundUpdate]) -> list[Kept]:
        """What was sent and not refused, by device."""
        place = {name: number for number, name in enumerate(self.row.content["selected"])}
        return [Kept(self.registry, place[each.edge], self.row.number, self.row.base, each.samples, each.digest)
                for each in updates if not each.refused]  # fmt: skip

    def decide(self, updates: Sequence[RoundUpdate], score: Callable[[Vector], float]) -> Closed:
        """The round closed: the same updates give the same model."""
        selected = self.row.content["selected"]
        call = Call(self.row.number, self.row.base, tuple(range(len(selected))), self.shape.size)
        with threadpool_limits(1):  # BLAS adds in another order with more threads
            closed = decide_round(self.shape, self.standing(), call, self.answers(updates), self.rules, score)
        for each in closed.record["updates"]:
            each["edge"] = selected[each["device"]]
        closed.record["updates"] += [{"edge": each.edge, "device": selected.index(each.edge), "refused": each.refused}
                                     for each in updates if each.refused]  # fmt: skip
        closed.record["selected"] = selected
        return closed


def close(registry: Registry, round_id: str, score: Callable[[Vector], float]) -> TrainingRound:
    """Take no more, work the round out, keep its model, and let it stand by one write.

    Killed anywhere, the next call does the same again from the same updates.
    """
    row = stop_round(registry.store, round_id)
    if row.state == CLOSED:
        return row
    of = Round(registry, row)
    closed = of.decide(updates_of(registry.store, round_id), score)
    stands = closed.standing
    digest = registry.put(model_bytes(of.shape, stands.model))
    memory = [registry.put(each.astype("<f4").tobytes(), "updates") if each is not None else ""
              for each in (stands.memory.first, stands.memory.second)]  # fmt: skip
    after = {"digest": digest, "score": stands.score, "best": stands.best, "memory": memory}
    return close_round(registry.store, round_id, closed.record, after)


def replayed(registry: Registry, round_id: str) -> tuple[str, str]:
    """(recorded, worked out again) digest of a closed round's model.

    Raises
    ------
    NotFound: there is none, or what it was made of is gone. Refused: it is not closed. InvalidInput: see `replay`.
    """
    row = round_of(registry.store, round_id)
    if row.state != CLOSED:
        raise Refused(f"is {row.state}", where=f"round {round_id}", fix="wait until it is closed")
    of = Round(registry, row)
    sent = {each.edge: each for each in updates_of(registry.store, round_id)}
    answers = of.answers(list(sent.values()))
    for each in answers:
        registry.get(each.digest, "updates")  # refuses damaged numbers
    with threadpool_limits(1):
        return str(row.after["digest"]), replay(of.shape, row.record, of.standing(), answers, of.rules)


@task(name="train on edges", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision], view: View, wish: Wish, *, publish: bool) -> list[Result]:
    """Run the approved rounds, and publish the model that stands after them."""
    if run.mode is Mode.SHADOW:
        return []
    results = []
    for decision in approved:
        lease = f"federate/{wish.model}"
        try:
            run.journal.acquire(lease, LEASE_S)
            with run.journal.holding():
                words = _train_rounds(run, view, wish, decision, publish=publish)
            run.store.settle([decision], Verdict.ACTED, detail=words)
            results.append(Result(decision.id, decision.subject, State.DONE, words))
        except ContinuumError as error:
            run.store.settle([decision], Verdict.EXPIRED, detail=str(error))
            results.append(Result(decision.id, decision.subject, State.FAILED, str(error)))
        finally:
            run.journal.release(lease)
    return results


def _train_rounds(run: Run, view: View, wish: Wish, decision: Decision, *, publish: bool) -> str:
    """Round after round; one that a killed run has left is finished first. In words, what came of them."""
    registry, held = Registry.open(run.store), view.held

    def score(model: Vector) -> float:
        return held.score(model, held.gate)

    progress = create_progress_artifact(0.0, key="federated-training-progress", description=f"Rounds of {wish.model}")
    closed: list[TrainingRound] = []
    left = [each for each in rounds(run.store, wish.model) if each.state != CLOSED]
    while len(closed) < decision.content["rounds"]:
        if frozen := run.journal.frozen(wish.model):
            raise Refused(f"acting is frozen by the freeze of {frozen.scope}", where=f"model {wish.model}",
                          fix=f"continuum thaw '{frozen.scope}'")  # fmt: skip
        row = left.pop() if left else begin(run, registry, view, wish, decision.content)
        wait(registry, row)
        closed.append(close(registry, row.id, score))
        update_progress_artifact(progress, progress=100.0 * len(closed) / decision.content["rounds"])  # type: ignore[arg-type]
        create_markdown_artifact(f"```\n{drawn(rounds(run.store, wish.model)[::-1])}\n```",
                                 key="federated-training-scores", description=f"Scores of {wish.model}")  # fmt: skip
    accepted = sum(each.record["accepted"] for each in closed)
    words = f"{len(closed)} rounds, {accepted} accepted, score {closed[-1].after['score']:.1%} on the gate's rows"
    if publish:
        words += f"; published as {_publish_standing(registry, view, wish).version}"
    return words


def begin(run: Run, registry: Registry, view: View, wish: Wish, content: dict[str, Any]) -> TrainingRound:
    """Open the next round: from what stands, or from a first model.

    Raises
    ------
    Refused: the privacy budget does not allow it.
    """
    opened, held = rounds(run.store, wish.model), view.held
    number = 1 + max((each.number for each in opened), default=0)
    before = standing_before(run.store, wish.model, number)
    if not before or read_model(registry.get(before["digest"]))[0] != held.shape:
        model = first_model(held.shape, wish.seed)
        reached = held.score(model, held.gate)
        before = {"digest": registry.put(model_bytes(held.shape, model)), "score": reached, "best": reached,
                  "memory": ["", ""]}  # fmt: skip
    scaling = {"middle": held.middle.tolist(), "spread": held.spread.tolist(), "farthest": FARTHEST}
    secret = secrets.token_bytes(32) if content.get("privacy") else b""
    draw = [int.from_bytes(secret), SELECT] if secret else [wish.seed, number]
    known = devices(run, wish.model, carbon=wish.carbon_weight > 0, trouble=[])  # told when the run began
    asked = {
        "selected": decide_asked(known, wish, content["cohort"], draw),
        "shape": [held.shape.features, held.shape.classes, held.shape.hidden], "kind": wish.kind, "seed": wish.seed,
        "epochs": wish.epochs, "batch": wish.batch, "lr": wish.lr, "scaling": scaling, "standing": before,
        "rule": content["rule"], "hostile": content["hostile"],
        "step": step_of(wish.step, private=bool(secret)),
    }  # fmt: skip
    if secret:  # kept where updates are, which nobody is handed: who knows it can take the noise off again
        asked |= _spent(content["privacy"], opened) | {"secret": registry.put(secret, "updates")}
    return open_round(run.store, TrainingRound(
        id=f"{wish.model}-{number}", model=wish.model, number=number, base=before["digest"], content=asked,
        deadline=now() + timedelta(seconds=wish.deadline_s),
    ))  # fmt: skip


def _spent(content: dict[str, Any], opened: Sequence[TrainingRound]) -> dict[str, Any]:
    """What a private round promises, and the epsilon that is spent when it is opened."""
    privacy = Privacy(**content)
    epsilon = epsilon_after(1, privacy, ledger_of(opened))
    if not epsilon <= privacy.budget:
        raise Refused(f"one more round makes epsilon {epsilon:.3g}, and the budget is {privacy.budget:g}",
                      where="privacy", fix="train no more on these devices, or give a larger budget")  # fmt: skip
    return {"privacy": asdict(privacy), "epsilon": epsilon}


def wait(registry: Registry, row: TrainingRound) -> None:
    """Until all have answered, and never past the deadline: a device that dies, or trains for ever, holds nobody up."""
    pause_s, asked = LOOK_S[0], len(row.content["selected"])
    while decide_close(now().timestamp(), row.deadline.timestamp(), asked,
                       len(updates_of(registry.store, row.id))) == "wait":  # fmt: skip
        time.sleep(pause_s)
        pause_s = min(1.3 * pause_s, LOOK_S[1])


def canary(shape: Shape, vector: Vector, held: World) -> bytes:
    """What an edge tries a version by before it serves it: made-up rows, and what the model answers here in NumPy."""
    draw = np.random.default_rng(0).normal(size=(CANARY_ROWS, shape.features))
    rows = (held.middle + held.spread * draw).astype(np.float32)
    scaled = np.clip((rows - held.middle) / held.spread, -FARTHEST, FARTHEST).astype(np.float32)
    told = np.exp(log_probabilities(shape, vector, scaled))
    sides = {"inputs": ("rows", rows), "outputs": ("probabilities", told)}
    document = {side: [describe(name, tensor, binary=False)[0]] for side, (name, tensor) in sides.items()}
    return json.dumps(document | {"tolerance": 1e-3}).encode()


def _publish_standing(registry: Registry, view: View, wish: Wish) -> Manifest:
    """Publish the model that stands as a version for edges to load; the same model again is the same version."""
    last = next(each for each in rounds(registry.store, wish.model) if each.state == CLOSED)
    held = view.held
    shape, vector = read_model(registry.get(last.after["digest"]))
    file = to_onnx(Trained(shape, vector, held.middle, held.spread, FARTHEST, view.classes))
    try:
        parent = registry.version(wish.model).digest
    except NotFound:
        parent = ""
    version = f"round-{last.number}"
    files = {"model.onnx": file, "canary.json": canary(shape, vector, held)}
    if any(each.version == version for each in registry.versions(wish.model)):
        return registry.manifest(registry.version(wish.model, version).digest)
    return registry.publish(
        wish.model, version, files, parent=parent, features=(("rows", "FP32"),),
        metrics={"accuracy": held.score(vector, held.test), "gate": float(last.after["score"])},
    )  # fmt: skip
