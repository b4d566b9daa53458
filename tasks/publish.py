"""Show a person what a run did: sections in the store for the report, artifacts in the Prefect UI."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from blocks.events import Event
from blocks.store.tables import Pass, Section
from tasks.drawing import picture_of
from tasks.run import Run

SHOWN_ROWS = 500  # a longer table is in the store, not in the UI


def publish(run: Run, sections: Sequence[dict[str, Any]]) -> None:
    """Save report sections in order, and that the pass has ended; words with a plot, and tables, become artifacts."""
    run.store.save_sections(
        [
            Section(flow_run_id=run.id, flow=run.flow, subject=run.fleet_name, title=section["title"], ordinal=ordinal,
                    content=section | {"simulated": run.fleet.simulated})
            for ordinal, section in enumerate(sections)
        ]
    )  # fmt: skip
    run.store.record_pass(Pass(flow_run_id=run.id, flow=run.flow, fleet=run.fleet_name, mode=run.mode,
                               began_at=run.began_at))  # fmt: skip
    simulated = " (simulated fleet)" if run.fleet.simulated else ""
    pictured = next((section for section in sections if section["plots"]), None)
    words = "\n\n".join(
        f"## {section['title']}{simulated}\n\n"
        + "\n\n".join([*section["paragraphs"], *_drawn(section, section is pictured)])
        for section in sections
    )
    create_markdown_artifact(words, key=f"{run.flow}-summary", description=f"What this run of {run.flow} did")
    tables = [section for section in sections if section.get("table")]
    for number, section in enumerate(tables):
        columns, rows = section["table"]["columns"], section["table"]["rows"][:SHOWN_ROWS]
        create_table_artifact(
            [dict(zip(columns, map(str, row), strict=True)) for row in rows],
            key=f"{run.flow}-{_slug(section['title']) if number else 'table'}",
            description=f"{section['title']}{simulated}",
        )


def emit(event: Event, *, identity: str = "") -> None:
    """Put an event on Prefect's bus, about its fleet.

    `identity`: of two events with the same one the server keeps the first; "" where each counts.
    """
    own_id: dict[str, Any] = {"id": uuid5(NAMESPACE_URL, f"{event.name} {event.fleet} {identity}")} if identity else {}
    emit_event(
        event.name,
        resource={"prefect.resource.id": f"continuum.fleet.{event.fleet}", "prefect.resource.name": event.fleet},
        payload=event.model_dump(mode="json"),
        **own_id,
    )


def _drawn(section: dict[str, Any], pictured: bool) -> list[str]:
    """A section's chart in plain characters, where it has one, and its first plot where it is to be shown."""
    picture = [f"![a plot]({picture_of(section['plots'][0])})"] if pictured else []
    return [*picture, *([f"```\n{section['chart']}\n```"] if section.get("chart") else [])]


def _slug(title: str) -> str:
    """A title as Prefect wants the key of an artifact.

    >>> _slug("Anomalies of the last two days")
    'anomalies-of-the-last-two-days'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
