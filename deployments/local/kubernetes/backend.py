"""What every verb needs: the store, the kinds, the time, and a seeded source of names and identities."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.local.kubernetes.kinds import Registry
from deployments.local.kubernetes.outages import NOTHING_OFF, Outages
from deployments.local.kubernetes.store import Store
from deployments.local.kubernetes.trees import timestamp
from deployments.local.kubernetes.usage import PodUsage, of_requests

Json = dict[str, Any]

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of generated names: no vowels, so that no words arise, and nothing easily misread."""


@dataclass
class Backend:
    """The state behind one API server.

    Parameters
    ----------
    now_s: the simulated time, epoch seconds.
    random: every identity and name suffix comes out of it, so two equal runs give equal objects.
    usage: what a running pod consumes.
    outages: what faults have switched off.
    """

    store: Store
    registry: Registry
    now_s: Callable[[], float]
    random: random.Random
    usage: PodUsage = of_requests
    outages: Outages = NOTHING_OFF

    def timestamp(self) -> str:
        """Now, as objects carry it."""
        return timestamp(self.now_s())

    def uid(self) -> str:
        """A new identity."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def suffix(self) -> str:
        """Five letters for a generated name."""
        return "".join(self.random.choice(SUFFIX_LETTERS) for _ in range(5))


@dataclass(frozen=True)
class Options:
    """How a write is to be done.

    Parameters
    ----------
    dry_run: answer as if, and store nothing.
    manager: who writes, for `managedFields`; "" records nobody.
    subresource: "" for the object itself, or `status`, `scale`.
    strict: refuse unknown fields instead of dropping them.
    quiet: drop unknown fields without a warning.
    guard: called with the new and the old state before it is stored; it raises what forbids the write.
    warnings: takes one line for each field dropped.
    """

    dry_run: bool = False
    manager: str = ""
    subresource: str = ""
    strict: bool = False
    quiet: bool = False
    guard: Callable[[Json, Json | None], None] | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DeleteOptions:
    """How an object is to be deleted.

    Parameters
    ----------
    propagation: Foreground, Background or Orphan; "" for the kind's default.
    grace_s: seconds a pod has to end; None for its own.
    uid, version: preconditions; "" for none.
    """

    propagation: str = ""
    grace_s: int | None = None
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def merged_finalizers(old: Sequence[str], *more: str) -> list[str]:
    """Finalizers with some added once."""
    return [*old, *(entry for entry in more if entry not in old)]
