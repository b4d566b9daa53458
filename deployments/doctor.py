"""Is everything that Continuum stands on in order? One check a line, each with how to mend it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import yaml
from requests.auth import HTTPBasicAuth

from blocks import settings
from blocks.errors import ContinuumError
from blocks.fleet import Autoscaler, Cluster, Fleet, pool_id
from blocks.http import LOOPBACK, fetch_json, session
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store

Level = Literal["ok", "warning", "failed"]

# What starts together with Prefect 3.8.8; other versions are known to break its server.
WORKING = {"prefect": ("3.8.8",), "fastapi": ("0.139.",), "starlette": ("1.0.", "0."), "sqlalchemy": ("2.0.",)}
LEAST_FREE_BYTES = 2**30

# What cluster-scaling asks of a cluster: (verb, resource, group, needed to look only). See rbac-shadow and rbac-act.
RIGHTS = (
    ("list", "nodes", "", True),
    ("list", "pods", "", True),
    ("patch", "nodes", "", False),
    ("create", "pods/eviction", "", False),
    ("list", "poddisruptionbudgets", "policy", False),
    ("get", "leases", "coordination.k8s.io", False),
    ("create", "leases", "coordination.k8s.io", False),
    ("update", "leases", "coordination.k8s.io", False),
)
ROLES = Path(__file__).parent / "kubernetes"
# Files with what these flows ask besides; a ClusterRole `...-look` is what looking needs.
MORE_RIGHTS = {
    "workload-placement": "rbac-place.yaml",
    "traffic-routing": "rbac-traffic.yaml",
    "workload-migration": "rbac-move.yaml",
    "carbon-scheduling": "rbac-carbon.yaml",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Level
    detail: str


def examine(fleet: Fleet | None, *, act: bool, flows: Sequence[str] = ()) -> Iterator[Check]:
    """Every check in order; those of clusters side by side.

    Parameters
    ----------
    fleet: whose clusters, clouds and metrics are looked at too; None for this machine alone.
    act: whether the rights that acting needs are missed where they are not there.
    flows: of `MORE_RIGHTS`, those whose rights are asked for besides those of cluster-scaling.
    """
    for name, check in (("python", _python), ("packages", _packages), ("state folder", _home), ("store", _store),
                        ("journal", _journal), ("freezes", _freezes), ("Prefect server", _prefect)):  # fmt: skip
        yield _guarded(name, check)
    if fleet is not None:
        yield _guarded("metrics", lambda: _metrics(fleet))
        with ThreadPoolExecutor(16) as threads:
            for checks in threads.map(lambda cluster: list(_cluster(cluster, act, flows)), fleet.clusters):
                yield from checks


def _guarded(name: str, check: Callable[[], tuple[Level, str]]) -> Check:
    try:
        return Check(name, *check())
    except ContinuumError as error:
        return Check(name, "failed", str(error))


def _python() -> tuple[Level, str]:
    return "ok", f"Python {sys.version.split()[0]} in {sys.prefix}"


def _packages() -> tuple[Level, str]:
    found = {name: importlib.metadata.version(name) for name in WORKING}
    wrong = [f"{name} {version}" for name, version in found.items() if not version.startswith(WORKING[name])]
    if wrong:
        return "failed", f"{', '.join(wrong)} does not work with this Prefect. To mend it: install requirements.lock"
    return "ok", ", ".join(f"{name} {version}" for name, version in found.items())


def _home() -> tuple[Level, str]:
    home = settings.home()
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(above, os.W_OK):
        return "failed", f"{above} cannot be written. To mend it: set CONTINUUM_HOME to a folder of your own"
    free = shutil.disk_usage(above).free
    if free < LEAST_FREE_BYTES:
        return "warning", f"{home}: only {free / 2**20:.0f} MiB free. To mend it: free some space"
    return "ok", f"{home}, {free / 2**30:.0f} GiB free"


def _store() -> tuple[Level, str]:
    store = Store.open()
    return "ok", f"{store.name} is at its newest revision"


def _journal() -> tuple[Level, str]:
    journal = Journal(Store.open())
    open_intents = [*journal.intents(state="planned"), *journal.intents(state="started")]
    lost = journal.expired()
    if lost:
        fix = "the next run of its flow finishes or undoes it; `continuum journal list` shows it"
        return "warning", f"{len(lost)} changes were left by runs that ended ({lost[0].subject}). To mend it: {fix}"
    return "ok", f"{len(open_intents)} changes under way, none left behind"


def _freezes() -> tuple[Level, str]:
    freezes = Journal(Store.open()).freezes()
    if freezes:
        scopes = ", ".join(freeze.scope for freeze in freezes)
        return "warning", f"acting is frozen: {scopes}. To mend it: continuum thaw '{freezes[0].scope}'"
    return "ok", "none"


def _prefect() -> tuple[Level, str]:
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL

    url, password = PREFECT_API_URL.value(), PREFECT_API_AUTH_STRING.value()
    if not url:
        return (
            "warning",
            "PREFECT_API_URL is not set. To mend it: start `continuum up` or your own server, and export its URL",
        )
    auth = HTTPBasicAuth(*password.partition(":")[::2]) if password else None
    with session(timeout_s=5.0, auth=auth) as http:
        version = fetch_json(http, "GET", f"{url}/admin/version", where=f"Prefect server {url}")
    if not auth and not PREFECT_API_KEY.value() and urlsplit(url).hostname not in LOOPBACK:
        fix = "set PREFECT_SERVER_API_AUTH_STRING on it, and PREFECT_API_AUTH_STRING here"
        return "failed", f"{url} lets anybody start any flow: it asks for no password. To mend it: {fix}"
    return "ok", f"{url} answers, version {version}"


def _metrics(fleet: Fleet) -> tuple[Level, str]:
    from tasks.forecasting.kinds import KINDS
    from tasks.forecasting.observe import demand_queries, source_time_s

    words: list[str] = []
    now_s = source_time_s(fleet)
    wanted = {pool_id(cluster.name, pool.name) for cluster, pool in fleet.pools()}
    seen: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for asked in demand_queries(fleet):
        seen[asked.kind] |= set(asked.read(now_s - 900, now_s + 1, 60).unique_id)
    for kind in KINDS:
        if silent := sorted(wanted - seen[kind]):
            fix = f"correct metrics.{kind} in fleet.yaml"
            return "failed", f"{kind}: no samples for {', '.join(silent[:5])} within 15 min. To mend it: {fix}"
        words.append(f"{kind} of {len(seen[kind] & wanted)} pools")
    return "ok", ", ".join(words)


def _cluster(cluster: Cluster, act: bool, flows: Sequence[str]) -> Iterator[Check]:
    from blocks.node_pools import connect

    def rights() -> tuple[Level, str]:
        api = KubernetesApi.connect(resolve_secrets(cluster))
        missing = [
            f"{verb} {resource}"
            for verb, resource, group, look in RIGHTS
            if (act or look) and not _may(api, verb, resource, group)
        ]
        if missing:
            file = "rbac-act.yaml" if act else "rbac-shadow.yaml"
            return (
                "failed",
                f"no right to {', '.join(missing)}. To mend it: kubectl apply -f deployments/kubernetes/{file}",
            )
        return "ok", f"{len(api.nodes())} nodes, all rights that {'acting' if act else 'looking'} needs"

    def pools() -> tuple[Level, str]:
        states = {state.name: state for state in connect(resolve_secrets(cluster)).list()}
        mine = [pool for pool in cluster.node_pools if pool.autoscaler is not Autoscaler.KARPENTER]
        lost = [pool.name for pool in mine if pool.name not in states]
        if lost:
            return "failed", f"the cloud has no node pool {', '.join(lost)}. To mend it: correct fleet.yaml"
        return "ok", ", ".join(f"{pool.name} {states[pool.name].desired} nodes" for pool in mine)

    yield _guarded(f"cluster {cluster.name}", rights)
    yield _guarded(f"node pools of {cluster.name}", pools)
    for name in flows:
        yield _guarded(f"{name} in {cluster.name}", partial(_more_rights, cluster, MORE_RIGHTS[name], act))


def _more_rights(cluster: Cluster, file: str, act: bool) -> tuple[Level, str]:
    """Whether all is allowed that the roles of a file allow."""
    roles = [each for each in yaml.safe_load_all((ROLES / file).read_text()) if each["kind"] == "ClusterRole"]
    rules = [rule for each in roles if act or each["metadata"]["name"].endswith("-look") for rule in each["rules"]]
    api = KubernetesApi.connect(resolve_secrets(cluster))
    asked = [(verb, resource, group) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]
             for verb in rule["verbs"]]  # fmt: skip
    missing = [f"{verb} {resource}" for verb, resource, group in asked if not _may(api, verb, resource, group)]
    if missing:
        told = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        return "failed", f"no right to {told}. To mend it: kubectl apply -f deployments/kubernetes/{file}"
    return "ok", f"all {len(asked)} rights that it needs besides" if asked else "it needs no more rights to look"


def _may(api: KubernetesApi, verb: str, resource: str, group: str) -> bool:
    plural, _, subresource = resource.partition("/")
    return api.can(verb, plural, group=group, subresource=subresource)


def fleet_of(given: str) -> Fleet:
    """The fleet of a file, or of the inventory block of that name."""
    from blocks.fleet_file import load_fleet
    from blocks.inventory import load_stored_fleet

    return (
        load_fleet(given)
        if Path(given).suffix in (".yaml", ".yml") or Path(given).exists()
        else load_stored_fleet(given)
    )
