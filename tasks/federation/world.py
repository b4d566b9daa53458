"""What a simulated federation consists of: rows dealt out, devices that train or lie, and training in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from blocks.errors import InvalidInput
from tasks.federation.decide.models import Labels, Rows, Shape, Vector, accuracy, first_model
from tasks.federation.decide.split import LEAST, Ints, held_back, split_by_label, split_by_unit
from tasks.federation.decide.training import Training, train
from tasks.federation.files import Dataset

GATE_SHARE, TEST_SHARE = 0.15, 0.25  # of the rows; the devices hold the rest
HIDDEN = 64
FARTHEST = 5.0  # standard deviations: a pixel that is nearly always 0 must not outshout the others
CENTRAL_EPOCHS = 50
CENTRAL_RATES = (0.03, 0.1, 0.3)  # the best on the held-back rows is the baseline
# Streams of random numbers from one seed, so that changing one thing leaves the others as they are.
HOLD, SPLIT, SELECT, DROP, TRAIN, HOSTILE, NOISE, ATTACK, SECRET = range(1, 10)


@dataclass(frozen=True)
class Asked:
    """What a person asks of a simulation; words are those of `continuum federate simulate`."""

    devices: int = 20
    alpha: float = 0.5
    rounds: int = 50
    model: str = "softmax"
    fraction: float = 0.3
    attack: str = ""
    hostile_share: float = 0.0
    assumed_hostile: float = 0.0
    dropout: float = 0.0
    aggregator: str = "auto"
    step: str = "auto"
    privacy: tuple[float, float] | None = None
    budget: float = float("inf")
    secure: bool = False
    seed: int = 0


@dataclass(frozen=True)
class World:
    """Rows as the devices, the gate and the test have them; scaled by moments of the gate's rows."""

    shape: Shape
    rows: Rows
    labels: Labels
    parts: list[Ints]
    gate: Ints
    test: Ints
    hostile: frozenset[int]
    middle: Vector
    spread: Vector

    def score(self, model: Vector, rows: Ints) -> float:
        """Accuracy on these rows."""
        return accuracy(self.shape, model, self.rows[rows], self.labels[rows])


Attack = Callable[[Vector, np.random.Generator], Vector]


ATTACKS: dict[str, Attack] = {
    "sign-flip": lambda delta, _: -5 * delta,
    "noise": lambda delta, draw: draw.normal(0, 5 * np.sqrt((delta**2).mean()), delta.shape).astype(np.float32),
    "nan": lambda delta, _: np.full_like(delta, np.nan),
}


def build_world(dataset: Dataset, asked: Asked) -> World:
    """Hold rows back for the gate and the test, deal the rest to the devices, and pick who is hostile."""
    kept, gate, test = held_back(dataset.units, (GATE_SHARE, TEST_SHARE), [asked.seed, HOLD])
    if len(kept) < LEAST * asked.devices or not len(gate) or not len(test):
        raise InvalidInput(f"{len(kept)} rows to train on are too few for {asked.devices} devices",
                           where=f"--devices {asked.devices}", fix="take fewer devices, or more data")  # fmt: skip
    middle, spread = dataset.rows[gate].mean(axis=0), dataset.rows[gate].std(axis=0)
    spread = np.where(spread > 0, spread, np.float32(1))
    rows = np.clip((dataset.rows - middle) / spread, -FARTHEST, FARTHEST)
    split, by = (split_by_unit, dataset.units) if dataset.by_unit else (split_by_label, dataset.labels)
    parts = [kept[part] for part in split(by[kept], asked.devices, asked.alpha, [asked.seed, SPLIT])]
    draw = np.random.default_rng([asked.seed, HOSTILE])
    hostile = draw.permutation(asked.devices)[: round(asked.hostile_share * asked.devices)]
    shape = Shape(rows.shape[1], len(dataset.classes), HIDDEN if asked.model == "mlp" else 0)
    return World(shape, rows.astype(np.float32), dataset.labels, parts, gate, test, frozenset(hostile.tolist()),
                 middle, spread)  # fmt: skip


def learnt(world: World, asked: Asked, device: int, number: int, base: Vector) -> Vector:
    """What a device has learnt from its rows in this round; hostile ones give what their attack makes of it."""
    part = world.parts[device]
    trained = train(world.shape, base, world.rows[part], world.labels[part], Training(),
                    [asked.seed, TRAIN, number, device])  # fmt: skip
    if device in world.hostile:
        return ATTACKS[asked.attack](trained - base, np.random.default_rng([asked.seed, ATTACK, number, device]))
    return trained - base


def centralised(world: World, asked: Asked) -> float:
    """All rows in one place, as many epochs as rounds (50 at least), the rate that is best on the held-back rows."""
    rows = np.sort(np.concatenate(world.parts))
    how = Training(epochs=max(CENTRAL_EPOCHS, asked.rounds))
    models = [train(world.shape, first_model(world.shape, asked.seed), world.rows[rows], world.labels[rows],
                    replace(how, rate=rate), [asked.seed, TRAIN]) for rate in CENTRAL_RATES]  # fmt: skip
    return world.score(max(models, key=lambda model: world.score(model, world.gate)), world.test)


def local_alone(world: World, asked: Asked) -> float:
    """Mean over the devices of what their own model, from their own rows alone, reaches on the same test set."""
    how, first = Training(epochs=max(CENTRAL_EPOCHS, asked.rounds)), first_model(world.shape, asked.seed)
    reached = [world.score(train(world.shape, first, world.rows[part], world.labels[part], how,
                                 [asked.seed, TRAIN, device]), world.test)
               for device, part in enumerate(world.parts)]  # fmt: skip
    return float(np.mean(reached))
