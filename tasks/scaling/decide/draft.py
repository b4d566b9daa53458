"""A pass in the making: what the guards look at and change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.reasons import ReasonLog
from tasks.scaling.decide.inputs import Bool, Int, Observed, Pools
from tasks.scaling.decide.needs import Needs
from tasks.scaling.decide.policies import Policy


@dataclass(eq=False)
class Draft:
    """A pass in the making over P pools; guards change `want`, `target` and the three flags.

    Attributes
    ----------
    want: (P,) raw need, nodes.
    target: (P,) size to go for, nodes.
    shrinking: (P,) the need is below the current size (set by `bounds`): guards on shrinking look at these.
    refused: (P,) some guard said no to a wanted change.
    resting: (P,) the pool is not to be touched in this pass.
    patch_only: (P,) the change is somebody else's to make.
    """

    pools: Pools
    observed: Observed
    policy: Policy
    needs: Needs
    want: Int
    target: Int
    shrinking: Bool
    refused: Bool
    resting: Bool
    patch_only: Bool
    log: ReasonLog

    @property
    def current(self) -> Int:
        """(P,) nodes asked for so far."""
        return self.observed.desired

    def stay(self, where: Bool) -> None:
        """Keep the current size of the pools in the mask."""
        self.target = np.where(where, self.current, self.target)

    def settle(self, where: Bool) -> None:
        """Keep the current size of the pools in the mask, whatever the guards after this one think."""
        self.stay(where)
        self.shrinking = self.shrinking & ~where

    def refuse(self, where: Bool) -> None:
        """Remember that a guard said no to what the pools in the mask wanted."""
        self.refused = self.refused | where
