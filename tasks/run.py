"""What every flow opens first: its fleet, the store, and its own name in the journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from opentelemetry import trace
from prefect import runtime

import blocks
import tasks
from blocks.errors import NotConfigured
from blocks.fleet import Fleet
from blocks.inventory import load_stored_fleet
from blocks.store import Store
from blocks.store.journal import Journal
from blocks.store.tables import Mode, now


@dataclass(frozen=True)
class Run:
    """One flow run: `id` is the Prefect flow run's, so that a suspended run finds what it stored before.

    `mode` says how far it may go; what it says is asked by whatever writes, not by the flow.
    """

    id: str
    flow: str
    fleet_name: str
    fleet: Fleet
    store: Store
    journal: Journal
    mode: Mode = Mode.SHADOW
    began_at: datetime = field(default_factory=now)


def open_run(flow: str, fleet_name: str, mode: Mode = Mode.SHADOW) -> Run:
    """Open the inventory block and the store for a run of `flow`.

    Raises
    ------
    NotConfigured: no such inventory, or another package called `tasks` stands before ours on the path.
    """
    if Path(tasks.__file__ or "").parent.parent != Path(blocks.__file__ or "").parent.parent:
        raise NotConfigured(
            "another package named `tasks` is imported instead of ours", where=str(tasks.__file__),
            fix="run from the virtual environment or image where continuum is installed",
        )  # fmt: skip
    told = {"continuum.flow": flow, "continuum.fleet": fleet_name, "continuum.mode": mode}
    trace.get_current_span().set_attributes(told)
    fleet, store = load_stored_fleet(fleet_name), Store.open()
    return Run(str(runtime.flow_run.id or uuid4()), flow, fleet_name, fleet, store, Journal(store), mode)
