"""Pods that wait for a node: those to try now, and those put aside until something changes for them."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo
from deployments.local.kubernetes.store import Key


class Queue:
    """Waiting pods by class, so that pods that are alike are put aside and woken together.

    There is no back-off: a scheduler with nothing else to do tries pods in back-off at once
    (SchedulerPopFromBackoffQ, on since v1.33), and ours always has the time.
    """

    def __init__(self) -> None:
        self.active: dict[Key, PodInfo] = {}
        self._parked: dict[PodInfo, dict[Key, None]] = {}
        self._plugins: dict[PodInfo, tuple[str, ...]] = {}
        self._class: dict[Key, PodInfo] = {}

    def add(self, key: Key, info: PodInfo) -> None:
        """Try a pod now."""
        self.drop(key)
        self.active[key] = self._class[key] = info

    def drop(self, key: Key) -> None:
        """Forget a pod."""
        self.active.pop(key, None)
        info = self._class.pop(key, None)
        if info is not None:
            self._unpark(key, info)

    def park(self, key: Key, plugins: tuple[str, ...]) -> None:
        """Put a pod aside that these plugins rejected."""
        info = self.active.pop(key)
        self._parked.setdefault(info, {})[key] = None
        self._plugins[info] = plugins

    def parked(self) -> Iterable[tuple[PodInfo, tuple[str, ...]]]:
        """Classes put aside, and the plugins that last rejected them; empty when there was no node at all."""
        return list(self._plugins.items())

    def wake(self, info: PodInfo) -> None:
        """Try all pods of a class again."""
        for key in list(self._parked.get(info, ())):
            self.wake_pod(key)

    def wake_pod(self, key: Key) -> None:
        """Try one pod again."""
        info = self._class.get(key)
        if info is not None:
            self._unpark(key, info)
            self.active[key] = info

    def _unpark(self, key: Key, info: PodInfo) -> None:
        waiting = self._parked.get(info, {})
        waiting.pop(key, None)
        if info in self._parked and not waiting:
            del self._parked[info], self._plugins[info]
