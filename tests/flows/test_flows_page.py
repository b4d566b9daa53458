"""flows/README.md tells of every flow and every event."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from blocks.events import EVENTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "flows" / "README.md").read_text()
DEPLOYED = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("module", sorted({each["entrypoint"].rsplit(".", 1)[1] for each in DEPLOYED}))
def test_a_flow_has_its_row(module: str) -> None:
    assert f"| `{module.replace('_', '-')}` |" in PAGE


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.name))
def test_an_event_has_its_row_with_the_fields_of_its_payload(event: type) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{event.name}` |")]  # type: ignore[attr-defined]
    assert all(f"`{field}`" in row for field in event.model_fields if field != "fleet")  # type: ignore[attr-defined]
