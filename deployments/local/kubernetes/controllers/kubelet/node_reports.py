"""What a kubelet reports about its node: conditions, addresses, versions."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.kubelet.marks import BOOT_SECONDS, played, seconds, silent
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import epoch_s, with_condition

Json = dict[str, Any]

BOOT_S = 1.0
_DISK = "DiskPressure"
_HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    (_DISK, "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
_FULL = (_DISK, "True", "KubeletHasDiskPressure", "kubelet has disk pressure")


def node_address(name: str) -> str:
    """Internal address of a node, the same for the same name."""
    number = zlib.crc32(name.encode())
    return f"10.{number >> 16 & 63}.{number >> 8 & 255}.{number & 255 or 1}"


class NodeKubelet(Controller):
    """A node's own reports."""

    resources = frozenset({"nodes"})

    def keys(self, event: Event) -> Iterable[Work]:
        """Nodes that a kubelet plays."""
        if played(event.new):
            yield event.key[1]

    def affected(self) -> Iterable[Work]:
        """All played nodes: one may have fallen silent, or its disk may be full."""
        return [node.key[1] for node in self.store.sorted("nodes") if played(node)]

    def reconcile(self, key: Work) -> None:
        """Report one node's state, once it has booted."""
        node = self.store.get("nodes", "", str(key))
        if node is None or not played(node) or silent(self.backend, node):
            return
        ready_at = epoch_s(node.obj["metadata"]["creationTimestamp"]) + seconds(node, BOOT_SECONDS, BOOT_S)
        if self.backend.now_s() < ready_at:
            self.again_at(ready_at, key)
        else:
            self._report(node)

    def _report(self, node: Stored) -> None:
        """Write the conditions; a heartbeat alone is not written."""
        full = node.key[1] in self.backend.outages.full_disks
        wanted = [_FULL if full and row[0] == _DISK else row for row in _HEALTHY]
        now, status = self.backend.timestamp(), node.obj.get("status", {})
        conditions = status.get("conditions", [])
        there = {(entry["type"], entry["status"]) for entry in conditions}
        if all(row[:2] in there for row in wanted):
            return
        for kind, value, reason, message in wanted:
            entry = {"type": kind, "status": value, "reason": reason, "message": message, "lastHeartbeatTime": now}
            conditions = with_condition(conditions, entry, now)
        name = node.key[1]
        known = {
            "addresses": [{"type": "InternalIP", "address": node_address(name)},
                          {"type": "Hostname", "address": name}],
            "nodeInfo": {"kubeletVersion": "v1.36.2-simulated", "osImage": "simulated", "operatingSystem": "linux",
                         "architecture": "amd64", "containerRuntimeVersion": "simulated://0", "kernelVersion": "0",
                         "machineID": node.uid, "systemUUID": node.uid, "bootID": node.uid, "kubeProxyVersion": ""},
        }  # fmt: skip
        self.set_status("nodes", node, {**known, **status, "conditions": conditions})
