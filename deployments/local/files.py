"""Files of the simulated fleet: its description, and what a running simulation writes for its clients and itself."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import to_json

from blocks.errors import InvalidInput, Refused
from blocks.files import write_atomically
from blocks.fleet import Fleet, Provider
from blocks.fleet_file import load_fleet

FLEET_FILE = Path(__file__).with_name("fleet.yaml")
MOUNTS = {Provider.EKS: "aws", Provider.GKE: "gcp", Provider.AKS: "azure"}
ROLES = ("admin", "operator", "viewer")
KUBECONFIG_MARK = "continuum.io/simulated-fleet"  # in every kubeconfig that we write
FORMAT = 2  # of snapshot.json; another one is refused, never guessed at

Tokens = dict[str, dict[str, str]]  # bearer token of each cluster and role


def built_in_fleet(clusters: int) -> Fleet:
    """The first clusters of the built-in fleet; beyond six of them they come again, as NAME-2, NAME-3 and so on.

    >>> [cluster.name for cluster in built_in_fleet(8).clusters][5:]
    ['edge-osaka', 'eu-eks-2', 'us-gke-2']
    """
    fleet = load_fleet(FLEET_FILE)
    chosen = []
    for number in range(clusters):
        round_, place = divmod(number, len(fleet.clusters))
        cluster = fleet.clusters[place]
        chosen.append(cluster.model_copy(update={"name": f"{cluster.name}-{round_ + 1}"}) if round_ else cluster)
    sites = [site for site in fleet.sites if any(cluster.site == site.name for cluster in chosen)]
    return fleet.model_copy(update={"clusters": chosen, "sites": sites})


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


def write_kubeconfig(path: Path, origin: str, tokens: Tokens, authority: bytes = b"") -> None:
    """Write a kubeconfig with the contexts NAME-admin, NAME-operator and NAME-viewer of every cluster.

    `authority` is the PEM certificate that an https `origin` shows.

    Raises
    ------
    Refused: another program's file is there: a person's own kubeconfig is not ours to replace.
    """
    check_ours(path)
    trust = {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
    users = [(f"{name}-{role}", name, token) for name, held in tokens.items() for role, token in held.items()]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "extensions": [{"name": KUBECONFIG_MARK, "extension": {"url": origin}}],
        "clusters": [{"name": name, "cluster": {"server": f"{origin}/clusters/{name}"} | trust} for name in tokens],
        "users": [{"name": user, "user": {"token": token}} for user, _, token in users],
        "contexts": [{"name": user, "context": {"cluster": name, "user": user}} for user, name, _ in users],
        "current-context": users[0][0],
    }
    write_atomically(path, yaml.safe_dump(document, sort_keys=False), mode=0o600)


def check_ours(kubeconfig: Path) -> None:
    """Refuse to replace a kubeconfig that no simulated fleet wrote; an empty or missing file is fine."""
    if kubeconfig.is_dir():
        raise Refused("is a folder", where=str(kubeconfig), fix="name a file")
    if not kubeconfig.exists() or not (text := kubeconfig.read_text(encoding="utf-8", errors="replace")).strip():
        return
    if KUBECONFIG_MARK not in text:
        raise Refused("is not of a simulated fleet, and stays as it is", where=str(kubeconfig), fix="name another file")


def _json(document: dict[str, Any]) -> bytes:
    """A large document as JSON, in a quarter of the time that `json` takes."""
    try:
        return to_json(document)
    except ValueError:  # half of a surrogate pair, which `json` alone can write
        return json.dumps(document, separators=(",", ":")).encode()


class StateFiles:
    """snapshot.json, the whole simulation, and clock.json, how far its time had come since.

    The snapshot is written when something changed; the clock, some bytes, again and again. So simulated time never
    goes back for those who saw it, however the process ended.
    """

    def __init__(self, folder: Path) -> None:
        self.snapshot_file, self.clock_file = folder / "snapshot.json", folder / "clock.json"

    def save(self, snapshot: dict[str, Any]) -> None:
        """Replace the snapshot."""
        write_atomically(self.snapshot_file, _json({"format": FORMAT} | snapshot), mode=0o600)

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
