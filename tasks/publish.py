"""Show a person what a run did: sections in the store for the report, artifacts in the Prefect UI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from blocks.store.tables import Section
from tasks.run import Run

SHOWN_ROWS = 500  # a longer table is in the store, not in the UI


def publish(run: Run, sections: Sequence[dict[str, Any]]) -> None:
    """Save report sections in their order, and the first table and the words as artifacts of this run."""
    run.store.save_sections(
        [
            Section(flow_run_id=run.id, flow=run.flow, subject=run.fleet_name, title=section["title"], ordinal=ordinal,
                    content=section | {"simulated": run.fleet.simulated})
            for ordinal, section in enumerate(sections)
        ]
    )  # fmt: skip
    simulated = " (simulated fleet)" if run.fleet.simulated else ""
    words = "\n\n".join(
        f"## {section['title']}{simulated}\n\n" + "\n\n".join(section["paragraphs"]) for section in sections
    )
    create_markdown_artifact(words, key=f"{run.flow}-summary", description=f"What this run of {run.flow} did")
    table = next((section["table"] for section in sections if section.get("table")), None)
    if table:
        rows = [dict(zip(table["columns"], map(str, row), strict=True)) for row in table["rows"][:SHOWN_ROWS]]
        create_table_artifact(rows, key=f"{run.flow}-table", description=f"One row a pool{simulated}")
