"""The inventory in Prefect: the fleet as a block, and secrets read from Prefect's Secret blocks.

The only inventory module that imports Prefect; `blocks/fleet.py` and what reads it stay free of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, TypeVar
from uuid import UUID

from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.types import SecretDict
from pydantic import BaseModel, Field

from blocks import credentials
from blocks.errors import InvalidInput, NotConfigured, NotFound
from blocks.fleet import Fleet
from blocks.fleet_file import fleet_of
from blocks.prefect_api import prefect_errors

Noun = TypeVar("Noun", bound=BaseModel)

DEFAULT_NAME = "default"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class FleetInventory(Block):
    """The clusters, edge sites and node pools that the flows work on."""

    _block_type_name = "Continuum fleet"
    _block_type_slug = "continuum-fleet"
    _description = "The clusters, edge sites and node pools that Continuum's flows work on."

    inventory: dict[str, Any] = Field(
        description="the fleet, in the shape of fleet.yaml; credentials as `${ENV}` or `secret:BLOCK` references"
    )
    typed_secrets: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        description="credentials that were typed into the file, by field; never shown",
    )

    def fleet(self) -> Fleet:
        """The fleet, checked anew: a block can be edited in the UI.

        Raises
        ------
        InvalidInput: the stored inventory is no valid fleet.
        """
        data = credentials.join_secrets(deepcopy(self.inventory), self.typed_secrets.get_secret_value())
        return fleet_of(data, f"block {self._block_document_name or DEFAULT_NAME}")


def save_fleet(fleet: Fleet, name: str = DEFAULT_NAME) -> UUID:
    """Store the fleet as the Prefect block `continuum-fleet/NAME`, replacing what it held; its document's id.

    Raises
    ------
    InvalidInput: the name is no block name.
    Unreachable, Unauthorized: the Prefect server.
    """
    inventory, typed = credentials.split_secrets(fleet)
    with _prefect(f"block {_checked(name)}"):
        block: Any = FleetInventory(inventory=inventory, typed_secrets=SecretDict(typed))
        document: UUID = block.save(name, overwrite=True, _sync=True)
    return document


def load_stored_fleet(name: str = DEFAULT_NAME) -> Fleet:
    """The fleet of the block `continuum-fleet/NAME`.

    Raises
    ------
    NotFound: there is no such block.
    InvalidInput: what it holds is no valid fleet.
    Unreachable, Unauthorized: the Prefect server.
    """
    with _prefect(f"block {_checked(name)}", missing=f"continuum fleet save FILE --name {name}"):
        stored: Any = FleetInventory
        block: FleetInventory = stored.load(name, _sync=True)
    return block.fleet()


def read_secret_block(name: str, where: str) -> str:
    """The text of the Prefect Secret block `name`.

    Raises
    ------
    NotFound: there is no such block.
    NotConfigured: it holds something other than text.
    Unreachable, Unauthorized: the Prefect server.
    """
    with _prefect(f"{where} secret:{name}", missing="create a block of type Secret with this name in the Prefect UI"):
        # Not Secret.get(): it would turn a password of digits into a number.
        stored: Any = Secret
        value = stored.load(name, _sync=True).value.get_secret_value()
    if not isinstance(value, str):
        raise NotConfigured("the Secret block holds no text", where=f"{where} secret:{name}", fix="store plain text")
    return value


def resolve_secrets(noun: Noun) -> Noun:
    """A copy of a cluster or its metrics with every secret resolved, for the moment a connection is made.

    Raises
    ------
    NotConfigured, NotFound, Unreachable, Unauthorized: see `credentials.secret_text` and `read_secret_block`.
    """
    return credentials.resolve_secrets(noun, read_block=read_secret_block)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        fix = "use lower-case letters, digits and `-`"
        raise InvalidInput(f"{name!r} is no name of a Prefect block", where="fleet", fix=fix)
    return name


@contextmanager
def _prefect(where: str, missing: str = "") -> Iterator[None]:
    """Prefect's failures as our errors; none of their messages is passed on, since they may quote the document."""
    try:
        with prefect_errors(where):
            yield
    except ValueError as error:
        if missing and "Unable to find block" in str(error):
            raise NotFound("there is no such Prefect block", where=where, fix=missing) from None
        raise InvalidInput("Prefect refuses the block", where=where, fix="save the fleet again") from None
