"""What must hold between the parts of a fleet: unique names, known references, usable access. Pure, on plain data.

It works on what a YAML or JSON reader returns, so that it can also tell what is wrong in a file that has
mistakes elsewhere; anything that is not the expected mapping or list is skipped here, the models name it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Path = tuple[str | int, ...]
Plain = Mapping[str, Any]

# Where a secret may stand; everything that shows a fleet leaves these out.
SECRET_FIELDS = ("token", "password")

# Looking for the nearest of 600 names costs 20 ms: enough for a person's slips, not for 10 000 of a program's.
MAX_SUGGESTIONS = 25

# What each provider's API needs to find a cluster, and where a person finds it.
CLOUD_FIELDS: dict[str, tuple[str, ...]] = {
    "eks": ("region",),
    "gke": ("project", "region"),
    "aks": ("subscription", "resource_group"),
    "k3s": (),
}

_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_BLOCK = re.compile(r"secret:[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Finding:
    """One thing wrong at one field: `path` from the root, what, and how to mend it."""

    path: Path
    problem: str
    fix: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{field_path(self.path)}: {self.problem}; {self.fix}"


def field_path(path: Path) -> str:
    """The field as a person would write it.

    >>> field_path(("clusters", 0, "node_pools", 2, "name"))
    'clusters[0].node_pools[2].name'
    """
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """The nearest known word as a question, or `otherwise`.

    >>> did_you_mean("max_node", ["min_nodes", "max_nodes"], "remove it")
    'did you mean `max_nodes`?'
    """
    near = _nearest(word[:63], tuple(known))
    return f"did you mean `{near[0]}`?" if near else otherwise


@lru_cache(maxsize=256)
def _nearest(word: str, known: tuple[str, ...]) -> list[str]:
    return difflib.get_close_matches(word, known, n=1, cutoff=0.6)


def all_findings(data: object) -> Iterator[Finding]:
    """Everything that one field alone cannot show."""
    yield from identity_findings(data)
    yield from _bounds_findings(data)
    yield from _access_findings(data)
    yield from _pool_reference_findings(data)


def identity_findings(data: object) -> Iterator[Finding]:
    """Names that occur twice, and references to names that are not there."""
    yield from _duplicates(_items(data, "sites"), ("name",), "site")
    yield from _duplicates(_items(data, "clusters"), ("name",), "cluster")
    for path, cluster in _items(data, "clusters"):
        yield from _duplicates(_items(cluster, "node_pools", path), ("name",), "node pool")
    yield from _duplicates(_items(data, "workloads"), ("cluster", "namespace", "name"), "workload")
    yield from _unknown(data, "clusters", "site", "sites")
    yield from _unknown(data, "workloads", "cluster", "clusters")


def _bounds_findings(data: object) -> Iterator[Finding]:
    """Node pools whose lower bound is above the upper one."""
    for path, cluster in _items(data, "clusters"):
        for at, pool in _items(cluster, "node_pools", path):
            low, high = pool.get("min_nodes"), pool.get("max_nodes")
            if isinstance(low, int) and isinstance(high, int) and low > high:
                fix = "lower min_nodes or raise max_nodes"
                yield Finding((*at, "min_nodes"), f"min_nodes {low} is above max_nodes {high}", fix)


def _pool_reference_findings(data: object) -> Iterator[Finding]:
    """Fallbacks and workloads that name a node pool which their cluster does not have."""
    pools: dict[str, list[str]] = {}
    for path, cluster in _items(data, "clusters"):
        items = _items(cluster, "node_pools", path)
        known = [str(pool.get("name")) for _, pool in items]
        pools[str(cluster.get("name"))] = known
        for at, pool in items:
            for index, name in enumerate(found if isinstance(found := pool.get("fallbacks"), list) else ()):
                if isinstance(name, str) and (name not in known or name == pool.get("name")):
                    others = [each for each in known if each != pool.get("name")]
                    fix = did_you_mean(name, others, "name other pools of the same cluster")
                    yield Finding((*at, "fallbacks", index), f"`{name}` is no other pool of this cluster", fix)
    for path, workload in _items(data, "workloads"):
        name, known = workload.get("node_pool"), pools.get(str(workload.get("cluster")), [])
        if isinstance(name, str) and known and name not in known:
            fix = did_you_mean(name, known, "name a pool of its cluster")
            yield Finding((*path, "node_pool"), f"its cluster has no node pool `{name}`", fix)


def _access_findings(data: object) -> Iterator[Finding]:
    """Access that cannot work, is shared by two clusters, or shows a secret in the file."""
    if isinstance(data, Mapping):
        yield from _metrics(data.get("metrics"), ("metrics",))
    seen: dict[tuple[str, str], Path] = {}
    for path, cluster in _items(data, "clusters"):
        yield from _cloud(cluster, path)
        yield from _kubernetes(cluster.get("kubernetes"), (*path, "kubernetes"), seen)
        yield from _metrics(cluster.get("metrics"), (*path, "metrics"))


def _items(data: object, key: str, at: Path = ()) -> list[tuple[Path, Plain]]:
    """The mappings of the list `data[key]`, each with its path."""
    found = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(found, list):
        return []
    return [((*at, key, index), item) for index, item in enumerate(found) if isinstance(item, Mapping)]


def _duplicates(items: list[tuple[Path, Plain]], keys: tuple[str, ...], noun: str) -> Iterator[Finding]:
    first: dict[tuple[str, ...], Path] = {}
    for path, item in items:
        name = tuple(item.get(key, "default" if key == "namespace" else None) for key in keys)
        if not all(isinstance(part, str) for part in name):
            continue
        if name in first:
            problem = f"the {noun} `{'/'.join(name)}` is already at {field_path(first[name])}"
            yield Finding((*path, "name"), problem, "give each its own name, or remove one")
        else:
            first[name] = path


def _unknown(data: object, key: str, reference: str, target: str) -> Iterator[Finding]:
    known = [item["name"] for _, item in _items(data, target) if isinstance(item.get("name"), str)]
    names = set(known)
    otherwise = f"add it to `{target}`"
    fixes: dict[str, str] = {}
    for path, item in _items(data, key):
        name = item.get(reference)
        if isinstance(name, str) and name not in names:
            if name not in fixes and len(fixes) < MAX_SUGGESTIONS:
                fixes[name] = did_you_mean(name, known, otherwise)
            yield Finding((*path, reference), f"there is no {reference} `{name}`", fixes.get(name, otherwise))


def _cloud(cluster: Plain, path: Path) -> Iterator[Finding]:
    cloud = cluster.get("cloud", {})
    provider = cluster.get("provider")
    if not isinstance(cloud, Mapping) or not isinstance(provider, str) or cloud.get("endpoint_url"):
        return  # a simulated or private endpoint knows its own clusters
    for field in CLOUD_FIELDS.get(provider, ()):
        by_profile = provider == "eks" and field == "region" and cloud.get("profile")  # the profile names a region
        if not cloud.get(field) and not by_profile:
            problem = f"`{field}` is missing, the {provider.upper()} API needs it"
            yield Finding((*path, "cloud", field), problem, f"add `{field}:` under `cloud:`")


def _kubernetes(access: object, path: Path, seen: dict[tuple[str, str], Path]) -> Iterator[Finding]:
    if not isinstance(access, Mapping):
        return
    context, server = access.get("context"), access.get("server")
    if context and server:
        yield Finding((*path, "server"), "both `context` and `server` are given", "keep one of them")
    field, value = ("server", server) if server else ("context", context)
    if isinstance(value, str):
        first = seen.setdefault((field, f"{access.get('kubeconfig')} {value}"), path)
        if first != path:
            yield Finding((*path, field), f"the same {field} is already at {field_path(first)}", "keep one of the two")
    yield from _secrets(access, path)


def _metrics(metrics: object, path: Path) -> Iterator[Finding]:
    if not isinstance(metrics, Mapping):
        return
    if metrics.get("token") and metrics.get("password"):
        yield Finding((*path, "token"), "both `token` and `password` are given", "keep one way to sign in")
    for field, other in (("username", "password"), ("password", "username")):
        if metrics.get(field) and not metrics.get(other) and not metrics.get("token"):
            yield Finding((*path, field), f"`{field}` without `{other}`", f"add `{other}:` or remove `{field}`")
    yield from _secrets(metrics, path)


def _secrets(access: Plain, path: Path) -> Iterator[Finding]:
    """The form of each secret; what it refers to is looked at only when a connection is made."""
    for field in SECRET_FIELDS:
        text = access.get(field)
        if not isinstance(text, str):
            continue
        kind = secret_kind(text)
        if kind == "malformed":
            fix = "write `${NAME}` (letters, digits, _) or `secret:BLOCK` (lower-case letters, digits, -)"
            yield Finding((*path, field), "is no well-formed secret reference", fix)
        elif kind == "literal":
            fix = "put it in an environment variable and write `${NAME}`, or in a Prefect Secret block: `secret:BLOCK`"
            yield Finding((*path, field), "a secret is typed in the file", fix, "warning")


def secret_kind(text: str) -> Literal["environment", "block", "literal", "malformed"]:
    """What the text of a secret field is; only a literal is itself secret.

    >>> secret_kind("${TOKEN}"), secret_kind("secret:my-token"), secret_kind("hunter2"), secret_kind("${my token}")
    ('environment', 'block', 'literal', 'malformed')
    """
    if text.startswith("secret:"):
        return "block" if _BLOCK.fullmatch(text) else "malformed"
    if _REFERENCE.fullmatch(text):
        return "environment"
    masked = not text.strip("*")  # what a dump shows in place of a secret, or nothing at all
    return "malformed" if masked or "${" in text else "literal"
