"""Files of the simulated fleet: its description, and what a running simulation writes for its clients and itself."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import yaml

from blocks.errors import InvalidInput
from blocks.files import write_atomically
from blocks.fleet import Fleet, Provider

FLEET_FILE = Path(__file__).with_name("fleet.yaml")
MOUNTS = {Provider.EKS: "aws", Provider.GKE: "gcp", Provider.AKS: "azure"}
ROLES = ("admin", "operator", "viewer")
FORMAT = 1  # of snapshot.json; another one is refused, never guessed at

Tokens = dict[str, dict[str, str]]  # bearer token of each cluster and role


def new_tokens(fleet: Fleet) -> Tokens:
    """Fresh random bearer tokens: of each cluster and role."""
    return {cluster.name: {role: secrets.token_hex(16) for role in ROLES} for cluster in fleet.clusters}


def write_fleet(path: Path, fleet: Fleet, origin: str, tokens: Tokens) -> None:
    """Write fleet.yaml with the endpoints and admin tokens of a simulation that serves at `origin`."""
    document = fleet.model_dump(mode="json", exclude_defaults=True)
    document["simulated"] = True
    document["metrics"]["url"] = f"{origin}/prometheus"
    for cluster in document["clusters"]:
        name, provider = cluster["name"], Provider(cluster["provider"])
        cluster["kubernetes"] = {"server": f"{origin}/clusters/{name}", "token": tokens[name]["admin"]}
        if provider in MOUNTS:
            cluster["cloud"] = cluster.get("cloud", {}) | {"endpoint_url": f"{origin}/{MOUNTS[provider]}"}
    write_atomically(path, yaml.safe_dump(document, sort_keys=False, width=120), mode=0o600)


def write_kubeconfig(path: Path, origin: str, tokens: Tokens) -> None:
    """Write a kubeconfig with the contexts NAME-admin, NAME-operator and NAME-viewer of every cluster."""
    users = [(f"{name}-{role}", name, token) for name, held in tokens.items() for role, token in held.items()]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"{origin}/clusters/{name}"}} for name in tokens],
        "users": [{"name": user, "user": {"token": token}} for user, _, token in users],
        "contexts": [{"name": user, "context": {"cluster": name, "user": user}} for user, name, _ in users],
        "current-context": users[0][0],
    }
    write_atomically(path, yaml.safe_dump(document, sort_keys=False), mode=0o600)


class StateFiles:
    """snapshot.json, the whole simulation, and clock.json, how far its time had come since.

    The snapshot is written when something changed; the clock, some bytes, again and again. So simulated time never
    goes back for those who saw it, however the process ended.
    """

    def __init__(self, folder: Path) -> None:
        self.snapshot_file, self.clock_file = folder / "snapshot.json", folder / "clock.json"

    def save(self, snapshot: dict[str, Any]) -> None:
        """Replace the snapshot."""
        write_atomically(
            self.snapshot_file, json.dumps({"format": FORMAT} | snapshot, separators=(",", ":")), mode=0o600
        )

    def save_time(self, now_s: float) -> None:
        """Note how far simulated time has come, seconds since 1970 UTC; a lost note costs seconds, so no fsync."""
        fresh = self.clock_file.with_suffix(".new")
        fresh.write_text(json.dumps({"now_s": now_s}))
        fresh.replace(self.clock_file)

    def load(self) -> tuple[dict[str, Any], float] | None:
        """The snapshot and the last time noted after it, or None at a first start.

        Raises
        ------
        InvalidInput: the snapshot cannot be read, or is of another format.
        """
        if not self.snapshot_file.exists():
            return None
        fix = "start with another --state folder, or remove this file"
        try:
            snapshot = json.loads(self.snapshot_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidInput("is not JSON", where=str(self.snapshot_file), fix=fix) from error
        if snapshot.get("format") != FORMAT:
            raise InvalidInput("is of another version of this program", where=str(self.snapshot_file), fix=fix)
        return snapshot, max(snapshot["now_s"], self._noted_s())

    def _noted_s(self) -> float:
        try:
            return float(json.loads(self.clock_file.read_text(encoding="utf-8"))["now_s"])
        except (OSError, ValueError, KeyError):
            return 0.0  # the snapshot's own time stands
