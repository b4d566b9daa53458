"""What `continuum deploy` leaves on a Prefect server, and that its automations do what they say."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.events import emit_event
from prefect.states import Crashed, Running
from typer.testing import CliRunner

from blocks.errors import Conflict
from deployments import automations
from deployments.command import app
from deployments.deploy import deploy
from tests.blocks.conftest import Server, as_json, server
from tests.flows.conftest import prefect

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect")]
__all__ = ["prefect", "server"]  # fixtures


def until(look: Any, patience_s: float = 60) -> Any:
    """What `look` finds, as soon as it finds something: a server of its own is watched from outside."""
    deadline = time.monotonic() + patience_s
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def test_a_second_deploy_changes_nothing() -> None:
    first, second = (json.loads(CliRunner().invoke(app, ["deploy", "--json"]).stdout) for _ in range(2))
    assert first["work_pool"] == {"continuum": "created"}
    assert set(first["automations"].values()) == {"created"}
    assert second["work_pool"] == {"continuum": "unchanged"}
    assert set(second["automations"].values()) == {"unchanged"}
    with get_client(sync_client=True) as client:
        there = {deployment.name for deployment in client.read_deployments()}
        named = [automation.name for automation in client.read_automations()]
    assert set(first["deployments"]) <= there
    assert len(named) == len(set(named))


def test_a_pool_of_another_type_is_refused() -> None:
    with pytest.raises(Conflict, match="is of type process, not kubernetes"):
        deploy(pool_type="kubernetes")


def test_an_automation_that_somebody_switched_off_stays_off() -> None:
    zombies, *_ = automations.wanted(None)
    with get_client(sync_client=True) as client:
        automations.ensure(client, [zombies])
        (there,) = client.read_automations_by_name(zombies.name)
        client.pause_automation(there.id)
        told = automations.ensure(client, [zombies.model_copy(update={"description": "another"})])
        (after,) = client.read_automations_by_name(zombies.name)
        client.delete_automation(after.id)
    assert (told[zombies.name], after.enabled, after.description) == ("changed", False, "another")


@pytest.fixture
def dead_run() -> UUID:
    """A run of ours that gave one sign of life, and no more, where ten seconds of silence are enough."""
    with get_client(sync_client=True) as client:
        automations.ensure(client, automations.wanted(None, timedelta(seconds=10)))
        flow_id = client.create_flow_from_name("dies")
        run = client.create_flow_run_from_deployment(client.create_deployment(flow_id, "dies", tags=["continuum"]))
        client.set_flow_run_state(run.id, Running(), force=True)
    emit_event(
        "prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"},
        related=[{"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.continuum"}],
    )  # fmt: skip
    return run.id


def states(run: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        return [str(state.name) for state in client.read_flow_run_states(run)]


def test_a_run_that_died_silently_is_crashed_and_started_again(dead_run: UUID) -> None:
    assert until(lambda: states(dead_run)[-1] == "AwaitingRetry")
    assert states(dead_run)[-2:] == ["Crashed", "AwaitingRetry"]


def test_a_run_that_crashes_for_the_third_time_stays_crashed() -> None:
    with get_client(sync_client=True) as client:
        automations.ensure(client, automations.wanted(None))
        deployment = client.create_deployment(client.create_flow_from_name("dies"), "dies", tags=["continuum"])
        often, once = (client.create_flow_run_from_deployment(deployment).id for _ in range(2))

        def crash(run: UUID, times: int) -> None:
            for _ in range(times):
                client.set_flow_run_state(run, Running(), force=True)
            client.set_flow_run_state(run, Crashed())

        crash(often, 3)
        crash(once, 1)  # its event comes after the other's
        assert until(lambda: states(once)[-1] == "AwaitingRetry")
        assert client.read_flow_run(often).run_count == 3
    assert states(often)[-1] == "Crashed"


def test_people_are_told_of_a_crash_where_they_made_a_block_for_it(server: Server) -> None:
    said: list[str] = []
    server.handler = lambda asked: (said.append(asked.body.decode()), as_json({}))[1]
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    block = CustomWebhookNotificationBlock(name="test", url=f"{server.url}/told", json_data={"text": "{{body}}"})
    block.save(automations.ALERTS_BLOCK)
    with get_client(sync_client=True) as client:
        automations.ensure(client, automations.wanted(automations.alerts_block(client)))

    def told() -> bool:  # the server's triggers may learn of an automation after the first event has gone by
        emit_event("continuum.scaling.blinded", resource={"prefect.resource.id": "continuum.fleet.default"},
                   payload={"pools": [f"eu-eks/{uuid4().hex}"]})  # fmt: skip
        return any("eu-eks/" in line for line in said)

    assert until(told)


@pytest.fixture
def deployed() -> None:
    """All is on the server, of the first test or now."""
    with get_client(sync_client=True) as client:
        there = {each.name for each in client.read_deployments()}
    if "carbon-scheduling" not in there:
        deploy()


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("event", "deployment", "payload", "brought"),
    [
        ("continuum.carbon.moved", "carbon-scheduling/carbon-scheduling", {"zones": ["DE"]}, {}),
        ("continuum.endpoint.drifted", "inference-calibration/inference-calibration-on-event",
         {"model": "digits", "version": "2", "psi": 0.4, "rows": 900}, {"model": "digits"}),
    ],
)  # fmt: skip
def test_an_event_starts_its_deployment_with_what_it_brings(
    event: str, deployment: str, payload: dict[str, Any], brought: dict[str, Any]
) -> None:
    emit_event(event, resource={"prefect.resource.id": "continuum.fleet.default"}, payload=payload)
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment).id
        which = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[found]))

        def started() -> list[Any]:
            return [run for run in client.read_flow_runs(flow_run_filter=which) if not run.auto_scheduled]

        (run,) = until(started)
    assert {name: run.parameters.get(name) for name in brought} == brought


def test_the_dead_mans_switch_tells_of_a_flow_that_no_longer_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    server.handler = lambda asked: (said.append(asked.body.decode()), as_json({}))[1]
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    block = CustomWebhookNotificationBlock(name="test", url=f"{server.url}/told", json_data={"text": "{{subject}}"})
    block_id = block.save("dead-man", overwrite=True)
    monkeypatch.setattr(automations, "LEAST_SILENCE", timedelta(seconds=10))
    monkeypatch.setattr(automations, "intervals_s", lambda by: {"resource-plan": 1.0, "fleet-scorecard": 1.0})
    monkeypatch.setattr(automations, "RETIRED", ())
    name = "continuum: no pass for 0.166667 minutes"
    with get_client(sync_client=True) as client:
        (switch,) = [each for each in automations.wanted(block_id) if each.name == name]
        automations.ensure(client, [switch])

    def told_after_a_pass() -> bool:
        """A pass ends; the server may not have loaded the switch yet, so that another may be needed."""
        emit_event(
            "prefect.flow-run.Completed", resource={"prefect.resource.id": f"prefect.flow-run.{uuid4()}"},
            related=[{"prefect.resource.role": "deployment", "prefect.resource.id": f"prefect.deployment.{uuid4()}",
                      "prefect.resource.name": "fleet-scorecard"}],
        )  # fmt: skip
        return bool(until(lambda: any("no pass has finished for" in line for line in said), patience_s=60))

    assert any(told_after_a_pass() for _ in range(5))
    with get_client(sync_client=True) as client:
        for each in client.read_automations_by_name(name):
            client.delete_automation(each.id)
