"""Kubeconfig files as kubectl reads them: every context, merged from several files, parsed once.

The official loader parses the whole file again for every context, which takes minutes for 600 of them; here each
context gets a configuration of its own that holds nothing else.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from blocks.errors import InvalidInput, NotConfigured
from blocks.sightings import Context

SECTIONS = ("contexts", "clusters", "users")
# Fields that name a file, relative to the kubeconfig that holds them.
FILE_FIELDS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def default_files() -> list[Path]:
    """The files that kubectl would read: KUBECONFIG's, or ~/.kube/config."""
    given = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [Path(part).expanduser() for part in given] or [Path("~/.kube/config").expanduser()]


def contexts(files: list[Path], globs: list[str] | None = None) -> list[Context]:
    """The contexts whose name fits one of the patterns (default: all), in the order of the files.

    As in kubectl, of two entries with one name the first counts, and files that are not there are passed over.

    Raises
    ------
    NotConfigured: none of the files is there, or no context fits.
    InvalidInput: a file is no kubeconfig.
    """
    present = [file for file in files if file.is_file()]
    if not present:
        names = ", ".join(str(file) for file in files)
        raise NotConfigured(f"no kubeconfig at {names}", where="discover", fix="give --kubeconfig FILE")
    merged: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for file in present:
        for section, entries in _sections(file).items():
            for name, body in entries.items():
                merged[section].setdefault(name, body)
    found = [_context(name, merged) for name in merged["contexts"]]
    wanted = [each for each in found if not globs or any(fnmatchcase(each.name, glob) for glob in globs)]
    if not wanted:
        known = ", ".join(each.name for each in found[:5]) or "none"
        raise NotConfigured("no context fits", where="discover", fix=f"correct --context; there are: {known}")
    return wanted


def kubeconfig_of(context: str, file: str | None = None) -> dict[str, Any]:
    """A kubeconfig that holds just this context, of `file` or of kubectl's default files.

    Raises
    ------
    NotConfigured: no such file or context. InvalidInput: a file is no kubeconfig.
    """
    files = [Path(file).expanduser()] if file else default_files()
    stamps = tuple((str(each), each.stat().st_mtime_ns) for each in files if each.is_file())
    found = _by_name(stamps).get(context)
    if found is None:
        fix = "set kubernetes.context to one of `kubectl config get-contexts`, or kubernetes.server and token"
        raise NotConfigured(f"kubeconfig context {context} cannot be loaded", where=f"cluster {context}", fix=fix)
    return found


@lru_cache(maxsize=8)
def _by_name(stamps: tuple[tuple[str, int], ...]) -> dict[str, dict[str, Any]]:
    """Documents by context name; read again when a file has changed."""
    return {each.name: each.document for each in contexts([Path(name) for name, _ in stamps])} if stamps else {}


def _sections(file: Path) -> dict[str, dict[str, Any]]:
    """Contexts, clusters and users of a file by name, file names made absolute."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(file.read_bytes(), Loader=loader)  # a safe loader, whichever was built  # nosec B506
        return {
            section: {
                str(entry["name"]): _absolute(entry[section[:-1]] or {}, file.absolute().parent)
                for entry in document.get(section) or ()
            }
            for section in SECTIONS
        }
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        fix = "check it with `kubectl config view`"
        raise InvalidInput("no readable kubeconfig", where=str(file), fix=fix) from None


def _absolute(body: dict[str, Any], folder: Path) -> dict[str, Any]:
    fixed = {key: str(folder / text) if key in FILE_FIELDS and text else text for key, text in body.items()}
    plugin = fixed.get("exec")
    if isinstance(plugin, dict) and os.sep in str(plugin.get("command", "")):
        fixed["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return fixed


def _context(name: str, merged: dict[str, dict[str, Any]]) -> Context:
    body = merged["contexts"][name]
    cluster, user = str(body.get("cluster") or ""), str(body.get("user") or "")
    entry, account = merged["clusters"].get(cluster, {}), merged["users"].get(user, {})
    plugin = account.get("exec") or {}
    return Context(
        name=name,
        cluster=cluster,
        server=str(entry.get("server") or ""),
        plugin_args=tuple(str(arg) for arg in plugin.get("args") or ()),
        plugin_env=tuple((str(each.get("name")), str(each.get("value"))) for each in plugin.get("env") or ()),
        document={
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{"name": name, "context": body}],
            "clusters": [{"name": cluster, "cluster": entry}],
            "users": [{"name": user, "user": account}],
        },
    )
