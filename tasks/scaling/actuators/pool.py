"""What the actuators of node pools share: the access to the pool, and a plan made of a stored decision."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from blocks.store.tables import Hold
from tasks.acting import Planned, SubjectActuator, actuator
from tasks.scaling.pool_access import PoolAccess


class PoolActuator(SubjectActuator):
    """One way to change one node pool."""

    noun = "pool"
    after_time_out = "look at the nodes of the pool"

    def __init__(self, access: PoolAccess) -> None:
        self.access = access

    @property
    def where(self) -> str:
        """How messages name the pool."""
        return f"pool {self.access.cluster.name}/{self.access.pool.name}"

    def lease(self, owner: str) -> AbstractContextManager[None]:
        """The cluster's Lease."""
        return self.access.lease(owner)

    def patience_s(self) -> float:
        """Real clouds answer long after the nodes are there."""
        return self.access.patience_s()

    def arrival_s(self) -> float:
        """Until new nodes could be Ready."""
        return self.access.boot_patience_s()

    def told(self, value: Mapping[str, Any]) -> str:
        """See `told`."""
        return told(value)

    @abstractmethod
    def plan(self, content: Mapping[str, Any], hold: Hold | None, until: datetime) -> Planned:
        """The change that a decision asks for.

        Parameters
        ----------
        content: the stored decision. hold: what we hold up there by this actuator already. until: when that expires.

        Raises
        ------
        Conflict, Refused: the pool is no longer as it was decided on.
        """


def told(value: Mapping[str, Any]) -> str:
    """A setting of a pool in words.

    >>> told({"desired": 3}), told({"min_nodes": 1, "max_nodes": 9})
    ('3 nodes', 'min_nodes 1, max_nodes 9')
    """
    return f"{value['desired']} nodes" if set(value) == {"desired"} else actuator.told(value)
