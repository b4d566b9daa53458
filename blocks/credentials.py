"""Secrets of the inventory: shown only as references, resolved only when a connection is made. No Prefect in here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr

from blocks.errors import NotConfigured
from blocks.fleet import Fleet
from blocks.fleet_checks import SECRET_FIELDS, Path, field_path, secret_kind
from blocks.settings import expand

Noun = TypeVar("Noun", bound=BaseModel)
ReadBlock = Callable[[str, str], str]  # the secret of (block name, where it is needed)

MASK = "**********"
SERVERS = ("metrics", "alertmanager")  # of the fleet itself, with secrets
LISTS = ("carbon", "bmcs")  # of the same, several of each


class ResolvedSecret(SecretStr):
    """The secret itself, no reference any more: it is used as it is, even where it looks like a reference."""


def secret_text(secret: SecretStr | None, *, where: str, read_block: ReadBlock | None = None) -> str | None:
    """The secret that a field means; None where the field is empty.

    Parameters
    ----------
    secret :
        the field's value: `${ENV}`, `secret:BLOCK`, or the secret itself.
    where :
        the field, for the message.
    read_block :
        reads a Prefect Secret block; `blocks.inventory.read_secret_block` where Prefect is at hand.

    Raises
    ------
    NotConfigured: the variable is unset, the block cannot be read here, or the reference is malformed.
    """
    if secret is None or isinstance(secret, ResolvedSecret):
        return secret.get_secret_value() if secret is not None else None
    text = secret.get_secret_value()
    kind = secret_kind(text)
    if kind == "literal":
        return text
    if kind == "environment":
        return expand(text, where=where)
    if kind == "malformed":
        raise NotConfigured("no well-formed secret reference", where=where, fix="write `${NAME}` or `secret:BLOCK`")
    block = text.removeprefix("secret:")
    if read_block is None:
        fix = "resolve it with blocks.inventory.resolve_secrets, or use `${NAME}`"
        raise NotConfigured(f"the Prefect block `{block}` cannot be read here", where=where, fix=fix)
    return read_block(block, where)


def resolve_secrets(noun: Noun, *, where: str = "", read_block: ReadBlock | None = None) -> Noun:
    """A copy of a cluster, its access or its metrics in which every secret is a `ResolvedSecret`.

    It is as silent as the original: repr, str and JSON show a mask.

    Raises
    ------
    NotConfigured: see `secret_text`.
    """
    where = where or _where(noun)
    changed: dict[str, Any] = {}
    for field in type(noun).model_fields:
        value = getattr(noun, field)
        if isinstance(value, SecretStr):
            text = secret_text(value, where=f"{where} {field}".strip(), read_block=read_block)
            changed[field] = ResolvedSecret(text or "")
        elif isinstance(value, BaseModel):
            changed[field] = resolve_secrets(value, where=f"{where} {field}".strip(), read_block=read_block)
    return noun.model_copy(update=changed) if changed else noun


def split_secrets(fleet: Fleet) -> tuple[dict[str, Any], dict[str, str]]:
    """The fleet as JSON-able data with a mask for each typed-in secret, and those secrets by field path.

    References stay as they are: they tell where a secret is, not what it is.
    """
    data = fleet.model_dump(mode="json", exclude_defaults=True)
    literals: dict[str, str] = {}
    for path, holder, field, secret in _secrets(fleet, data):
        text = secret.get_secret_value()
        if secret_kind(text) in ("environment", "block") and not isinstance(secret, ResolvedSecret):
            holder[field] = text
        else:
            holder[field] = MASK
            literals[field_path(path)] = text
    return data, literals


def public_data(fleet: Fleet) -> dict[str, Any]:
    """The fleet as JSON-able data fit for any eye: references as they are, typed-in secrets masked."""
    return split_secrets(fleet)[0]


def join_secrets(data: dict[str, Any], literals: dict[str, str]) -> dict[str, Any]:
    """The inverse of `split_secrets`, in place: each mask replaced by its secret, where there is one."""
    holders: list[tuple[Path, Any]] = [((part,), data.get(part)) for part in SERVERS]
    for index, cluster in enumerate(data.get("clusters", [])):
        holders += [(("clusters", index, part), cluster.get(part)) for part in ("kubernetes", "metrics")]
    holders += [((part, index), each) for part in LISTS for index, each in enumerate(data.get(part, []))]
    for path, holder in holders:
        for field in SECRET_FIELDS:
            if isinstance(holder, dict) and holder.get(field) == MASK:
                holder[field] = literals.get(field_path((*path, field)), MASK)
    return data


def _secrets(fleet: Fleet, data: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any], str, SecretStr]]:
    """Each secret that is set: its path, the mapping of `data` it stands in, its field and its value."""
    holders: list[tuple[Path, BaseModel | None, Any]] = [
        ((part,), getattr(fleet, part), data.get(part)) for part in SERVERS
    ]
    for index, cluster in enumerate(fleet.clusters):
        plain = data["clusters"][index]
        for part in ("kubernetes", "metrics"):
            holders.append((("clusters", index, part), getattr(cluster, part), plain.get(part)))
    for part in LISTS:
        for index, service in enumerate(getattr(fleet, part)):
            holders.append(((part, index), service, data[part][index]))
    for path, noun, holder in holders:
        for field in SECRET_FIELDS:
            secret = getattr(noun, field, None)
            if isinstance(secret, SecretStr):
                yield (*path, field), holder, field, secret


def _where(noun: BaseModel) -> str:
    name = getattr(noun, "name", None)
    return f"{type(noun).__name__.lower()} {name}" if name else type(noun).__name__.lower()
