"""From a size to go for to what each pool's actuator is to be set to."""

from __future__ import annotations

import numpy as np

from tasks.scaling.decide.draft import Draft
from tasks.scaling.decide.inputs import Int, group_nodes


def aim(draft: Draft) -> tuple[Int, Int]:
    """(P,) what each pool's actuator is set to, and (P,) what it is to be set to, both in nodes.

    Where we set the size ourselves these are the present and the target size. Where an autoscaler does (floor,
    headroom, workload), the setting follows the need, not the size:

    - the target is below the size: the setting goes to the target; it may rise to it, nodes above it go by themselves;
    - the target is the size or above: the setting never falls, so that nothing on its way is called back, and a
      scale-down that a guard has stopped pulls it up to the raw need at most;
    - usage is not known, or the pool rests: only a target above the size moves it.

    It stays between what was there before us and the pool's maximum, in whole groups of nodes.
    """
    found, steered = draft.pools.known_actuators, draft.pools.steered
    if not steered.any():
        return draft.current, draft.target
    size, target, setting, high = draft.current, draft.target, found.setting_nodes, draft.pools.max_nodes
    need = np.clip(draft.want, draft.pools.min_nodes, high)
    risen = np.maximum(setting, np.where(target > size, target, np.minimum(size, need)))
    goal = np.where(target < size, target, risen)
    blind = draft.resting | draft.needs.unseen.any(axis=1)
    goal = np.where(blind & (target <= size), setting, goal)
    group = group_nodes(draft.pools)
    whole = -(-goal // group) * group
    goal = np.where(whole > high, high // group * group, whole)
    goal = np.maximum(np.minimum(goal, np.maximum(high, setting)), found.least_nodes)
    return np.where(steered, setting, size), np.where(steered, goal, target)
