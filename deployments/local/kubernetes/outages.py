"""What a fault has switched off in a cluster. Kubelets and the engine look here; nothing is off by default."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


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


NOTHING_OFF = Outages()
