"""Which pods an autoscaler's target selects: kept between looks until a pod of the namespace changes."""

from __future__ import annotations

from typing import NamedTuple

from deployments.local.kubernetes.selectors import Requirement, matches, parse_labels
from deployments.local.kubernetes.status import StatusError
from deployments.local.kubernetes.store import Key, Store, Stored


class Selected(NamedTuple):
    """Pods of a target, by name."""

    pods: list[Stored]


class Unselectable(NamedTuple):
    """Why no pods can be told: an event's reason, a condition's reason and words, the error."""

    event: str
    reason: str
    words: str
    message: str


class AutoscaledPods:
    """The selectors of all autoscalers of a cluster, and the pods behind them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._selectors: dict[str, dict[Key, tuple[str, list[Requirement]]]] = {}
        self._found: dict[str, dict[Key, Selected | Unselectable]] = {}

    def changed(self, namespace: str) -> None:
        """A pod there is new, gone or other than before."""
        self._found.pop(namespace, None)

    def forget(self, scaler: Key) -> None:
        """An autoscaler is gone."""
        self._selectors.get(scaler[0], {}).pop(scaler, None)
        self.changed(scaler[0])

    def selected(self, scaler: Key, selector: str) -> Selected | Unselectable:
        """The pods that the selector of an autoscaler's target takes, if no other autoscaler has one of them."""
        space = self._selectors.setdefault(scaler[0], {})
        if not selector:
            message = "selector is required"
            words = "the HPA target's scale is missing a selector"
            return Unselectable("SelectorRequired", "InvalidSelector", words, message)
        if space.get(scaler, ("", []))[0] != selector:
            try:
                space[scaler] = (selector, parse_labels(selector))
            except StatusError as error:
                message = f"couldn't convert selector into a corresponding internal selector object: {error.message}"
                return Unselectable("InvalidSelector", "InvalidSelector", message, message)
            self.changed(scaler[0])
        found = self._found.setdefault(scaler[0], {})
        if scaler not in found:
            found[scaler] = self._look(scaler, selector)
        return found[scaler]

    def _look(self, scaler: Key, selector: str) -> Selected | Unselectable:
        space = self._selectors[scaler[0]]
        pods = [pod for pod in self._store.sorted("pods", scaler[0]) if matches(space[scaler][1], _labels(pod))]
        rivals = sorted(key for key, (_, wanted) in space.items() if any(matches(wanted, _labels(pod)) for pod in pods))
        if len(rivals) > 1:
            names = " ".join(f"{{{name} {namespace}}}" for namespace, name in rivals)
            message = f"pods by selector {selector} are controlled by multiple HPAs: [{names}]"
            return Unselectable("AmbiguousSelector", "AmbiguousSelector", message, message)
        return Selected(pods)


def _labels(pod: Stored) -> dict[str, str]:
    found: dict[str, str] = pod.obj["metadata"].get("labels", {})
    return found
