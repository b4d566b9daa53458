"""An API server answers as a real one did: every recorded step, over HTTP.

Without settings the server is our simulation, and all scenarios must pass. With `CONTINUUM_TEST_KUBECONFIG=FILE` the
same scenarios are replayed against the cluster of its current context too. A real cluster plays no kubelets for made-up
nodes: `CONTINUUM_TEST_TAGS` (comma-separated) says which tags it has; the default is all but `kubelet` and `compacted`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deployments.local.kubernetes import CLAIMED_TAGS
from tests.conformance.replay import Access, Replay, access_of
from tests.conformance.server import Server

Json = dict[str, Any]
Outcomes = dict[str, Future[dict[str, list[str]]]]

TRANSCRIPTS = Path(__file__).parent / "kubernetes"
SCENARIOS = {
    path.stem: scenario
    for path in sorted(TRANSCRIPTS.glob("*.json"))
    if (scenario := json.loads(path.read_text())).get("steps") and scenario.get("replay", True)
}
AT_ONCE = 8
KUBECONFIG = os.environ.get("CONTINUUM_TEST_KUBECONFIG", "")
DEFAULT_TAGS = ",".join(CLAIMED_TAGS - {"kubelet", "compacted"})
REAL_TAGS = frozenset(os.environ.get("CONTINUUM_TEST_TAGS", DEFAULT_TAGS).split(","))
NO_CLUSTER = "CONTINUUM_TEST_KUBECONFIG is not set: there is no real cluster to replay the transcripts against"


def replayed(access: Access, tags: frozenset[str], request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """The replays of the selected scenarios, under way side by side."""
    test = f"{request.fixturename.removesuffix('_outcomes')}["
    wanted = [item.callspec.params["name"] for item in request.session.items
              if getattr(item, "callspec", None) and item.name.startswith(f"test_{test}")]  # fmt: skip
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # The longest first: they wait, and the others run meanwhile.
        order = sorted(wanted, key=lambda name: ("watch" not in name, -len(SCENARIOS[name]["steps"])))
        replays = {name: pool.submit(Replay(access).run, SCENARIOS[name])
                   for name in order if set(SCENARIOS[name]["requires"]) <= tags}  # fmt: skip
        yield replays


def judge(name: str, tags: frozenset[str], outcomes: Outcomes, record: Callable[[str, object], None]) -> None:
    """Skip a scenario by its tags, or tell each of its steps that went wrong; its steps are counted in the summary."""
    if missing := set(SCENARIOS[name]["requires"]) - tags:
        pytest.skip(f"the server is not said to have {', '.join(sorted(missing))}")
    result = outcomes[name].result()
    faults = {step: found for step, found in result.items() if found}
    record("conformance steps", [len(result) - len(faults), len(result)])
    assert not faults, "\n".join(f"{step}: {'; '.join(found)}"[:600] for step, found in faults.items())


@pytest.fixture(scope="module")
def simulated_outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    server = Server().opened()
    yield from replayed(server.access, CLAIMED_TAGS, request)
    server.close()


@pytest.fixture(scope="module")
def real_outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    yield from replayed(access_of(KUBECONFIG), REAL_TAGS, request)


def test_every_part_that_the_transcripts_know_is_claimed() -> None:
    assert {tag for scenario in SCENARIOS.values() for tag in scenario["requires"]} <= CLAIMED_TAGS
    assert sum(len(scenario["steps"]) for scenario in SCENARIOS.values()) == 691


@pytest.mark.parametrize("name", SCENARIOS)
def test_simulated(name: str, simulated_outcomes: Outcomes, record_property: Callable[[str, object], None]) -> None:
    judge(name, CLAIMED_TAGS, simulated_outcomes, record_property)


@pytest.mark.parametrize("name", SCENARIOS if KUBECONFIG else [pytest.param("", marks=pytest.mark.skip(NO_CLUSTER))])
def test_real(name: str, real_outcomes: Outcomes, record_property: Callable[[str, object], None]) -> None:
    judge(name, REAL_TAGS, real_outcomes, record_property)
