"""One look of a kubelet at one pod: what it knows, what comes of it, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deployments.local.kubernetes.controllers.kubelet.images import Pull
from deployments.local.kubernetes.controllers.kubelet.marks import fails
from deployments.local.kubernetes.controllers.kubelet.probes import READINESS, Streak
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import timestamp

Json = dict[str, Any]


class Happening(NamedTuple):
    """What becomes an Event about the pod."""

    reason: str
    message: str
    container: str = ""
    warning: bool = False


@dataclass
class Memory:
    """What a kubelet knows of a pod and no object says; a new one is as good after a restart."""

    pulls: dict[str, Pull] = field(default_factory=dict)
    streaks: dict[tuple[str, str], Streak] = field(default_factory=dict)


@dataclass
class Turn:
    """One look at one pod.

    Parameters
    ----------
    unready: whether a fault keeps the pod from becoming Ready.
    due_s: times at which something will change.
    happened: what to tell in Events.
    pulled: images that are on the node from now on.
    """

    pod: Stored
    node: Stored
    now_s: float
    memory: Memory
    unready: bool = False
    due_s: list[float] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)

    @property
    def now(self) -> str:
        """Now, as objects carry it."""
        return timestamp(self.now_s)

    def reached(self, when_s: float) -> bool:
        """Whether a time has come; else the pod is looked at again then."""
        if self.now_s >= when_s:
            return True
        self.due_s.append(when_s)
        return False

    def say(self, reason: str, message: str, container: str = "", *, warning: bool = False) -> None:
        """Tell something in an Event."""
        self.happened.append(Happening(reason, message, container, warning))

    def streak(self, container: str, what: str, since_s: float) -> Streak:
        """What a probe of a container has been seeing since a time, or since that changed later."""
        passes = not fails(self.pod, what) and not (what == READINESS and self.unready)
        old = self.memory.streaks.get((container, what))
        if old is None or old.passes != passes:
            old = Streak(passes, since_s if old is None else self.now_s)
            self.memory.streaks[container, what] = old
        return Streak(passes, max(old.since_s, since_s))
