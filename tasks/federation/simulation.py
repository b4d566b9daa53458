"""A federation on one machine: devices that train, fail and lie, round after round, beside training in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from blocks.errors import InvalidInput
from tasks.federation.decide.aggregate import rule_of
from tasks.federation.decide.models import Vector, first_model
from tasks.federation.decide.privacy import FEW, Privacy, epsilon_after, rounds_within
from tasks.federation.decide.rounds import Closed, Rules, Standing, decide_close, decide_round, decide_sum
from tasks.federation.decide.secure import SHARE_BYTES, Member, decide_threshold, from_ring, to_ring, unmask
from tasks.federation.decide.selection import (
    UNIFORM,
    Cohort,
    Fleet,
    Leaning,
    decide_cohort,
    decide_selection,
    hostile_among,
    poisson_selection,
)
from tasks.federation.decide.server import step_of
from tasks.federation.decide.split import Ints
from tasks.federation.decide.updates import Call, Update, pack, unpack
from tasks.federation.export import Trained
from tasks.federation.files import Dataset
from tasks.federation.world import (
    DROP,
    FARTHEST,
    NOISE,
    SECRET,
    SELECT,
    Asked,
    World,
    build_world,
    centralised,
    learnt,
    local_alone,
)

SECURE = (3, 200)  # devices in a secure sum: with two, each could tell the other's; the work grows with their square


@dataclass
class Tally:
    """What is counted over the rounds. scores: of the model in force on the test set, a round each."""

    bytes_up: int = 0
    bytes_down: int = 0
    refused_updates: int = 0
    worst_drop: float = 0.0
    scores: list[float] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)

    def closed(self, over: Closed) -> Standing:
        """Count a round; what stands after it."""
        self.records.append(over.record)
        self.refused_updates += sum(bool(each["refused"]) for each in over.record["updates"])
        if over.record["accepted"]:
            self.worst_drop = max(self.worst_drop, over.record["best_before"] - over.record["score"])
        return over.standing


@dataclass(frozen=True)
class Simulated:
    """The end of a simulation."""

    accuracy: dict[str, float]
    tally: Tally
    trained: Trained
    cohort: Cohort
    rule: str
    epsilon: float | None
    rounds: int
    majority: float
    model_bytes: int
    data_bytes: int

    def to_record(self) -> dict[str, Any]:
        """The JSON of `continuum federate simulate`."""
        tally, accepted = self.tally, sum(each["accepted"] for each in self.tally.records)
        return {
            "accuracy": self.accuracy, "last5_mean": float(np.mean(tally.scores[-5:])),
            "worst_accepted_drop": tally.worst_drop, "refused_updates": tally.refused_updates,
            "epsilon": self.epsilon, "bytes_up": tally.bytes_up, "bytes_down": tally.bytes_down,
            "digest": self.trained.shape.digest(self.trained.vector), "rounds": self.rounds,
            "accepted_rounds": accepted, "rule": self.rule,
            "cohort": asdict(self.cohort), "majority_ratio": self.majority,
            "secure_aggregation": "on" if self.rule == "secure-mean" else "off",
        }  # fmt: skip


def simulate(
    dataset: Dataset, asked: Asked, told: Callable[[int, float], None], warn: Callable[[str], None]
) -> Simulated:
    """Run the rounds; the same arguments give the same digest on the same machine, whatever its number of cores.

    Parameters
    ----------
    told: called after each round with its number and the score in force on the gate's rows. warn: once a warning.

    Raises
    ------
    ContinuumError: too few rows for so many devices, or the privacy budget allows no round.
    """
    with threadpool_limits(1):  # BLAS adds in another order with more threads
        world = build_world(dataset, asked)
        plan = _plan(asked, warn)
        tally, standing = _run(world, plan, told)
        scores = {"centralised": centralised(world, asked),
                  "federated": world.score(standing.model, world.test), "local": local_alone(world, asked)}  # fmt: skip
    epsilon = epsilon_after(plan.rounds, plan.privacy) if plan.privacy else None
    counts = np.bincount(world.labels[world.test])
    trained = Trained(world.shape, standing.model, world.middle, world.spread, FARTHEST, dataset.classes)
    return Simulated(scores, tally, trained, plan.cohort, plan.rule,
                     None if epsilon is None or np.isinf(epsilon) else epsilon, plan.rounds,
                     float(counts.max() / counts.sum()), 4 * world.shape.size,
                     sum(map(len, world.parts)) * world.shape.features * 4)  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    asked: Asked
    cohort: Cohort
    rule: str
    rounds: int
    privacy: Privacy | None


def _plan(asked: Asked, warn: Callable[[str], None]) -> _Plan:
    cohort = decide_cohort(asked.devices, asked.fraction, asked.assumed_hostile)
    rule, privacy, rounds = rule_of(asked.aggregator, asked.assumed_hostile), None, asked.rounds
    wanted = hostile_among(cohort.size, asked.devices, asked.assumed_hostile)
    if wanted > cohort.hostile:
        warn(f"{asked.devices} devices are too few: up to {wanted} of {cohort.size} may be hostile, and the rule "
             f"stands {cohort.hostile}; only the gate helps")  # fmt: skip
    elif cohort.size > decide_cohort(asked.devices, asked.fraction, 0).size:
        warn(f"{cohort.size} devices a round instead of {asked.fraction:g} of {asked.devices}: up to {cohort.hostile} "
             "of them may be hostile, and Multi-Krum needs n >= 2 f + 3")  # fmt: skip
    if asked.secure:
        if not SECURE[0] <= cohort.size <= SECURE[1]:
            raise InvalidInput(f"{cohort.size} devices a round are too few to hide in, or too many", where="--secure",
                               fix=f"choose --devices and --fraction for {SECURE[0]} to {SECURE[1]}")  # fmt: skip
        rule = "secure-mean"
        warn("the server sees no single update, so it checks none and no robust rule applies: only the gate helps")
    if asked.privacy:
        noise, clip = asked.privacy
        privacy = Privacy(noise, clip, asked.fraction, asked.devices, 1 / (50 * asked.devices), asked.budget)
        rounds, rule = rounds_within(privacy, asked.rounds), "dp-fedavg"
        if rounds < asked.rounds:
            warn(f"the privacy budget is spent after {rounds} of {asked.rounds} rounds: the others are refused")
        if asked.devices < FEW:
            warn(f"{asked.devices} devices are few for DP: below about {FEW} the noise drowns what is learnt")
        if asked.assumed_hostile:
            warn("DP-FedAvg bounds an update but removes none: a hostile share is not answered by it")
    return _Plan(asked, cohort, rule, rounds, privacy)


def _run(world: World, plan: _Plan, told: Callable[[int, float], None]) -> tuple[Tally, Standing]:
    asked, tally = plan.asked, Tally()
    model = first_model(world.shape, asked.seed)
    first = world.score(model, world.gate)
    standing, times = Standing(model, first, first), np.zeros(asked.devices, np.int64)
    for number in range(plan.rounds):
        selected = _selected(world, plan, times, number)
        times[selected] += 1
        tally.bytes_down += len(selected) * 4 * world.shape.size
        standing = _round(world, plan, number, selected, standing, tally)
        tally.scores.append(world.score(standing.model, world.test))
        told(number + 1, standing.score)
    return tally, standing


def _selected(world: World, plan: _Plan, times: Ints, number: int) -> Ints:
    asked, seed = plan.asked, [plan.asked.seed, SELECT, number]
    fleet = Fleet(np.ones(asked.devices, np.bool_), np.array(list(map(len, world.parts))), times)
    if plan.privacy:
        return poisson_selection(fleet.available, asked.fraction, seed)
    return decide_selection(fleet, plan.cohort.size, UNIFORM if asked.assumed_hostile else Leaning(), seed)


def _round(
    world: World, plan: _Plan, number: int, selected: Ints, standing: Standing, tally: Tally
) -> Standing:  # fmt: skip
    asked = plan.asked
    call = Call(number, world.shape.digest(standing.model), tuple(selected.tolist()), world.shape.size)
    answers = np.random.default_rng([asked.seed, DROP, number]).random(len(selected)) >= asked.dropout
    if asked.secure:
        return _secure_round(world, asked, call, answers, standing, tally)
    updates = [_answer(world, asked, device, call, standing.model, tally) for device in selected[answers].tolist()]
    step = step_of(asked.step, private=plan.privacy is not None)
    rules = Rules(plan.rule, plan.cohort.hostile, step, plan.privacy, (asked.seed, NOISE, number))
    # at the deadline of the round, which no missing device can move
    if not plan.privacy and decide_close(1.0, 1.0, len(selected), len(updates)) == "abort":
        updates = []
    closed = decide_round(world.shape, standing, call, updates, rules, lambda model: world.score(model, world.gate))
    return tally.closed(closed)


def _secure_round(
    world: World, asked: Asked, call: Call, answers: NDArray[np.bool_], standing: Standing, tally: Tally
) -> Standing:  # fmt: skip
    """Every asked device hands out shares; then some die, and the server learns the sum of the others, or nothing."""
    draw, devices = np.random.default_rng([asked.seed, SECRET, call.round]), len(call.selected)
    members = [Member(device + 1, draw.bytes(32), f"round {call.round}".encode()) for device in call.selected]
    roster, threshold = [each.public() for each in members], decide_threshold(devices)
    sealed = {each.number: each.hand_out(roster, threshold) for each in members}
    alive = [each for each, there in zip(members, answers.tolist(), strict=True) if there]
    tally.bytes_up += sum(len(share) for given in sealed.values() for share in given.values())
    mean = None
    if len(alive) >= threshold:
        deltas = {each: learnt(world, asked, each.number - 1, call.round, standing.model) for each in alive}
        masked = {each.number: each.mask(to_ring(delta, devices), roster) for each, delta in deltas.items()}
        inbox = {to.number: {by: given[to.number] for by, given in sealed.items()} for to in alive}
        revealed = {each.number: each.reveal(inbox[each.number], roster, masked, threshold) for each in alive}
        tally.bytes_up += len(alive) * (4 * world.shape.size + SHARE_BYTES * devices)
        mean = from_ring(unmask(masked, roster, revealed, threshold), devices) / np.float32(len(alive))
    return tally.closed(decide_sum(world.shape, standing, call, mean, step_of(asked.step, private=False),
                                   lambda model: world.score(model, world.gate)))  # fmt: skip


def _answer(world: World, asked: Asked, device: int, call: Call, base: Vector, tally: Tally) -> Update:
    """What a device sends, through its int8 form."""
    delta = learnt(world, asked, device, call.round, base)
    if np.isfinite(delta).all():  # NaN has no int8 form: a device that sends it sends float32
        packed = pack(world.shape, delta)
        tally.bytes_up += packed.size_bytes
        delta = unpack(world.shape, packed)
    else:
        tally.bytes_up += delta.nbytes
    return Update(device, call.round, call.base, len(world.parts[device]), delta)
