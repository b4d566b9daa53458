"""What a fault has switched off in a cluster. Kubelets and the engine look here; nothing is off by default."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self


@dataclass(frozen=True)
class Outages:
    """Parts of one cluster that do not work.

    Parameters
    ----------
    halted: no controller, scheduler or kubelet acts: the control plane stands still.
    silent_nodes: nodes whose kubelet neither reports nor acts.
    full_disks: nodes that report DiskPressure.
    unready_pods: namespace and name pattern (as in a shell) of pods that run and never become Ready.
    """

    halted: bool = False
    silent_nodes: frozenset[str] = frozenset()
    full_disks: frozenset[str] = frozenset()
    unready_pods: tuple[tuple[str, str], ...] = ()

    def keeps_unready(self, namespace: str, name: str) -> bool:
        """Whether a pod is held from becoming Ready.

        >>> Outages(unready_pods=(("default", "web-*"),)).keeps_unready("default", "web-1")
        True
        """
        return any(namespace == place and fnmatchcase(name, pattern) for place, pattern in self.unready_pods)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, JSON-able."""
        return {
            "halted": self.halted,
            "silent_nodes": sorted(self.silent_nodes),
            "full_disks": sorted(self.full_disks),
            "unready_pods": [list(pods) for pods in self.unready_pods],
        }

    @classmethod
    def restore(cls, saved: dict[str, Any]) -> Self:
        """What was off when a snapshot was taken."""
        unready = tuple((namespace, name) for namespace, name in saved["unready_pods"])
        return cls(saved["halted"], frozenset(saved["silent_nodes"]), frozenset(saved["full_disks"]), unready)


NOTHING_OFF = Outages()
