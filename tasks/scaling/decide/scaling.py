"""One pass over the fleet: needs, rule, guards, promise."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import numpy as np

from blocks.errors import InvalidInput
from blocks.series import Forecast
from tasks.reasons import ReasonLog
from tasks.scaling.decide.aim import aim
from tasks.scaling.decide.decisions import Action, ScalingDecisions
from tasks.scaling.decide.draft import Draft
from tasks.scaling.decide.guards import GUARDS
from tasks.scaling.decide.inputs import Int, Observed, Pools
from tasks.scaling.decide.needs import measure
from tasks.scaling.decide.policies import Policy
from tasks.scaling.decide.promise import promise
from tasks.scaling.decide.rules import RULES


def decide_scaling(
    pools: Pools, observed: Observed, forecast: Forecast | None, policy: Policy, as_of: datetime
) -> ScalingDecisions:
    """Size every pool for the demand that is here and the demand that is coming. Pure and deterministic.

    `pools` and `observed` hold P rows in the same order. `forecast` holds the series `cluster/pool/cpu_cores` and
    `cluster/pool/memory_bytes`, in any order; a series that is missing leaves its resource to present usage alone, and
    the reasons say so. `policy` is one of `POLICIES`, or a `dataclasses.replace` of it. `as_of` is now, timezone-aware.
    The fleet-wide limits (disruption budget, unreachable share) are shares of the pools given: pass the whole fleet.

    Raises
    ------
    InvalidInput: the two tables differ in length, or `as_of` has no time zone.
    """
    if len(observed.desired) != len(pools.unique_id):
        raise InvalidInput(
            f"{len(observed.desired)} pools are observed, {len(pools.unique_id)} are described",
            where="decide_scaling",
            fix="give both tables the same pools in the same order",
        )
    if as_of.tzinfo is None:
        raise InvalidInput("as_of has no time zone", where="decide_scaling", fix="pass a UTC time")
    log = ReasonLog(len(pools.unique_id))
    needs = measure(pools, observed, forecast, policy, as_of=as_of, log=log)
    want = RULES[policy.rule](observed, needs, policy, log)
    nowhere = np.zeros(want.shape, dtype=np.bool_)
    draft = Draft(pools, observed, policy, needs, want, want, nowhere, nowhere, nowhere, nowhere, log)
    for guard in GUARDS:
        guard(draft)
    current, target = aim(draft)
    return ScalingDecisions(
        policy=policy.name,
        as_of=as_of,
        unique_id=pools.unique_id,
        action=_actions(draft, target - current),
        current=current,
        ready=observed.ready,
        want=draft.want,
        target=target,
        min_nodes=pools.min_nodes,
        max_nodes=pools.max_nodes,
        owner=pools.owner,
        actuator=pools.known_actuators.kind,
        actuator_why=pools.known_actuators.why,
        seen=pools.known_actuators.seen,
        reasons=log,
        forecast_age_s=np.full(want.shape, needs.forecast_age_s),
        promise=partial(promise, pools, observed, forecast, draft.target, needs=needs, policy=policy, as_of=as_of),
    )


def _actions(draft: Draft, difference: Int) -> tuple[Action, ...]:
    change = np.sign(difference)
    refuse = draft.patch_only | (draft.refused & ~draft.resting & (change == 0))
    code = np.where(refuse, 2, change)
    names = {-1: Action.DOWN, 0: Action.HOLD, 1: Action.UP, 2: Action.REFUSE}
    return tuple(names[value] for value in code.tolist())
