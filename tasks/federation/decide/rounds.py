"""A round from the answers to the gate, and a record from which it can be worked out again to the same digest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal

import numpy as np

from blocks.errors import InvalidInput
from tasks.federation.decide.aggregate import RULES, Deltas, Stand
from tasks.federation.decide.models import Shape, Vector
from tasks.federation.decide.privacy import Privacy, private_mean
from tasks.federation.decide.server import Memory, take_step
from tasks.federation.decide.updates import Answer, Call, norm, too_far, why_refused

TOLERANCE = 0.02  # a model may score this much under the best accepted one, and no more
QUORUM = 1 / 3  # of the devices asked: with fewer answers the model stays


@dataclass(frozen=True)
class Rules:
    """How answers become a model. rule: of `RULES`. hostile: updates to stand. step: of the server's steps.

    privacy: DP-FedAvg instead of the rule. noise_seed: of its noise; in a real fleet from the operating system.
    """

    rule: str
    hostile: int = 0
    step: str = "average"
    privacy: Privacy | None = None
    noise_seed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Standing:
    """The model in force, its score and the best score accepted so far (0-1), and the server's memory."""

    model: Vector
    score: float
    best: float
    memory: Memory = field(default_factory=Memory)


@dataclass(frozen=True)
class Closed:
    """A round that is over: its record, and what stands now."""

    record: dict[str, Any]
    standing: Standing


def decide_close(now_s: float, deadline_s: float, asked: int, answered: int) -> Literal["wait", "aggregate", "abort"]:
    """Whether a round waits on: never past its deadline, and no longer than until all have answered.

    >>> [decide_close(now, 60, 6, answers) for now, answers in ((5, 5), (5, 6), (60, 2), (60, 1))]
    ['wait', 'aggregate', 'aggregate', 'abort']
    """
    if answered < asked and now_s < deadline_s:
        return "wait"
    return "aggregate" if answered >= quorum(asked) else "abort"


def quorum(asked: int) -> int:
    """Answers that a round needs at least."""
    return max(1, ceil(QUORUM * asked - 1e-9))


def passes(score: float, best: float) -> bool:
    """The gate: no more than `TOLERANCE` under the best accepted model, whatever came between."""
    return bool(score >= best - TOLERANCE)


def decide_round(
    shape: Shape, standing: Standing, call: Call, updates: Sequence[Answer], rules: Rules,
    score: Callable[[Vector], float],
) -> Closed:  # fmt: skip
    """Check every answer, aggregate, step, score and gate. With too few good answers the model stays.

    Parameters
    ----------
    updates: in any order; of two answers of one device the first counts. score: 0-1 on the held-back rows.
    """
    good, verdicts = _checked(updates, call, by_length=not rules.privacy)
    record: dict[str, Any] = {
        "round": call.round, "base": call.base, "selected": list(call.selected), "updates": verdicts,
        "rule": "dp-fedavg" if rules.privacy else rules.rule, "hostile": rules.hostile, "step": rules.step,
    }  # fmt: skip
    if not rules.privacy and len(good) < quorum(len(call.selected)):
        return Closed(record | {"accepted": False, "why": "quorum", "digest": call.base}, standing)
    return _judged(shape, standing, record, _next(standing, good, rules), score)


def decide_sum(
    shape: Shape, standing: Standing, call: Call, delta: Vector | None, step: str, score: Callable[[Vector], float]
) -> Closed:  # fmt: skip
    """The round of a secure sum: no single update was seen, so none was checked; only the gate stands in the way.

    delta: mean of the updates; None where too few answered, and then the model stays.
    """
    record: dict[str, Any] = {
        "round": call.round, "base": call.base, "selected": list(call.selected), "updates": [], "rule": "secure-mean",
        "hostile": 0, "step": step,
    }  # fmt: skip
    if delta is None:
        return Closed(record | {"accepted": False, "why": "quorum", "digest": call.base}, standing)
    return _judged(shape, standing, record, take_step(step, standing.model, delta, standing.memory), score)


def _judged(
    shape: Shape, standing: Standing, record: dict[str, Any], made: tuple[Vector, Memory],
    score: Callable[[Vector], float],
) -> Closed:  # fmt: skip
    """The gate's answer on a model, and what stands after it."""
    model, memory = made
    reached = score(model)
    accepted = passes(reached, standing.best) and bool(np.isfinite(model).all())
    record |= {"score": reached, "best_before": standing.best, "accepted": accepted, "why": "" if accepted else "gate",
               "digest": shape.digest(model) if accepted else record["base"]}  # fmt: skip
    if not accepted:
        return Closed(record, standing)
    return Closed(record, Standing(model, reached, max(standing.best, reached), memory))


def replay(shape: Shape, record: dict[str, Any], standing: Standing, updates: Sequence[Answer], rules: Rules) -> str:
    """The digest that a recorded round gives again, from the kept updates; the gate's answer is the recorded one.

    Raises
    ------
    InvalidInput: the base or an update is not the recorded one, or one is missing.
    """
    if shape.digest(standing.model) != record["base"]:
        raise InvalidInput("the base is another model", where=f"round {record['round']}", fix="give the recorded base")
    kept = {update.digest: update for update in updates}
    wanted = [each["digest"] for each in record["updates"] if not each["refused"]]
    absent = [digest for digest in wanted if digest not in kept]
    if absent:
        raise InvalidInput(f"{len(absent)} updates are missing, first {absent[0][:12]}",
                           where=f"round {record['round']}", fix="give every recorded update")  # fmt: skip
    if not record["accepted"]:
        return str(record["base"])
    good = [(kept[digest], norm(kept[digest].delta)) for digest in wanted]
    return shape.digest(_next(standing, good, rules)[0])


def _checked(
    updates: Sequence[Answer], call: Call, *, by_length: bool
) -> tuple[list[tuple[Answer, float]], list[dict[str, Any]]]:
    """The good updates with their norms in the order of the devices, and what was said of each.

    by_length: refuse what is much longer than the others. Not under DP: there one device's update must not decide
    whether another's counts, and the clip bounds it anyway.
    """
    seen: set[int] = set()
    passed: list[tuple[Answer, float]] = []
    verdicts = []
    for update in updates:
        why = why_refused(update, call, seen)
        if why:
            verdicts.append({"device": update.device, "refused": why})
            continue
        seen.add(update.device)
        passed.append((update, norm(update.delta)))
    passed.sort(key=lambda each: each[0].device)
    lengths = [length for _, length in passed]
    far = too_far(lengths).tolist() if by_length else [False] * len(passed)
    for (update, length), out in zip(passed, far, strict=True):
        verdicts.append({"device": update.device, "refused": "it is much longer than the others" if out else "",
                         "digest": update.digest, "norm": length, "examples": update.examples})  # fmt: skip
    return [each for each, out in zip(passed, far, strict=True) if not out], verdicts


def _next(standing: Standing, good: Sequence[tuple[Answer, float]], rules: Rules) -> tuple[Vector, Memory]:
    rows = Deltas([update for update, _ in good])
    norms = np.array([length for _, length in good])
    if rules.privacy:
        delta = private_mean(len(standing.model), rows, norms, rules.privacy, list(rules.noise_seed))
    else:
        weights = np.array([update.examples for update, _ in good], np.float64)
        delta = RULES[rules.rule](rows, Stand(weights, norms, rules.hostile))
    return take_step(rules.step, standing.model, delta, standing.memory)
