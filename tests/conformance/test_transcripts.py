"""The simulated Kubernetes API server answers as a real one did: every recorded step, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deployments.local.kubernetes import CLAIMED_TAGS
from tests.conformance.replay import Replay
from tests.conformance.server import TOKEN, Server

Json = dict[str, Any]

TRANSCRIPTS = Path(__file__).parent / "kubernetes"
SCENARIOS = {
    path.stem: scenario
    for path in sorted(TRANSCRIPTS.glob("*.json"))
    if (scenario := json.loads(path.read_text())).get("steps") and scenario.get("replay", True)
}
AT_ONCE = 8

STILL_FAILING: dict[str, str] = {}
"""Scenarios that do not pass yet, by name, with the reason. A scenario that begins to pass must leave this list."""


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[dict[str, list[str]]]]]:
    """The replays of all selected scenarios, under way side by side; totals are printed at the end."""
    wanted = [item.callspec.params["name"] for item in request.session.items
              if getattr(item, "callspec", None) and item.name.startswith("test_scenario[")]  # fmt: skip
    server = Server().opened()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # The longest first: they wait, and the others run meanwhile.
        order = sorted(wanted, key=lambda name: ("watch" not in name, -len(SCENARIOS[name]["steps"])))
        replays = {name: pool.submit(Replay(server.url, TOKEN).run, SCENARIOS[name])
                   for name in order if set(SCENARIOS[name]["requires"]) <= CLAIMED_TAGS}  # fmt: skip
        yield replays
        results = {name: replay.result() for name, replay in replays.items()}
    server.close()
    passed = sum(not faults for result in results.values() for faults in result.values())
    total = sum(len(SCENARIOS[name]["steps"]) for name in wanted)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nconformance: {passed}/{total} steps of {len(results)}/{len(wanted)} scenarios")


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, outcomes: dict[str, Future[dict[str, list[str]]]], request: pytest.FixtureRequest) -> None:
    missing = set(SCENARIOS[name]["requires"]) - CLAIMED_TAGS
    if missing:
        pytest.skip(f"the simulation does not claim {', '.join(sorted(missing))}")
    if name in STILL_FAILING:
        request.applymarker(pytest.mark.xfail(strict=True, reason=STILL_FAILING[name]))
    faults = {step: found for step, found in outcomes[name].result().items() if found}
    assert not faults, "\n".join(f"{step}: {'; '.join(found)}"[:600] for step, found in faults.items())
