"""A suspended run of a deployment, answered with a token on the command line, or in the form of the Prefect UI."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from typer.testing import CliRunner

from blocks.errors import Conflict
from blocks.fleet import Fleet
from blocks.inventory import save_fleet
from blocks.store import Store, approvals
from blocks.store.tables import Decision, Mode, Verdict
from deployments.approvals import answer, named, waiting
from deployments.command import app
from tasks.acting import approve, decided_before, keep_decisions
from tasks.run import open_run

pytestmark = pytest.mark.server
AS_OF = datetime(2026, 3, 10, 9, 20, tzinfo=UTC)
POOLS = ("eu-eks/web", "eu-eks/batch", "us-gke/web")


@flow(name="resize")
def resize() -> list[str]:
    """A flow that proposes a change of three pools; returns the subjects that may be changed."""
    run = open_run("resize", "default", Mode.PROPOSE)
    entries = [{"unique_id": name, "action": "up", "reasons": []} for name in POOLS]
    rows = decided_before(run) or keep_decisions(run, entries, as_of=AS_OF, ttl_s=900, changes=("up",))
    approved = approve(run, rows, as_of=AS_OF, timeout_s=900, plan=lambda rows: "the plan", check=lambda rows: {})
    return [row.subject for row in approved]


class Suspended:
    """A run of a flow that waits for a person."""

    def __init__(self, flow: Flow[..., Any] = resize, parameters: dict[str, Any] | None = None) -> None:
        self.flow, self.parameters = flow, parameters or {}
        with get_client(sync_client=True) as client:
            deployment = client.create_deployment(client.create_flow_from_name(flow.name), flow.name)
            self.id: UUID = client.create_flow_run_from_deployment(deployment).id
        with pytest.raises(Pause):
            self.go_on()

    def go_on(self) -> Any:
        with get_client(sync_client=True) as client:
            return run_flow(self.flow, flow_run=client.read_flow_run(self.id), parameters=self.parameters)

    def typed_in_the_ui(self, **form: Any) -> None:
        with get_client(sync_client=True) as client:
            client.resume_flow_run(self.id, run_input={"approve": True, "leave_out": "", "note": ""} | form)

    def decisions(self) -> dict[str, Decision]:
        return {row.subject: row for row in Store.open().proposals(str(self.id))}


@pytest.fixture
def run(fleet: Fleet) -> Suspended:
    return Suspended()


def command(*words: str, token: str = "", fails: bool = False) -> str:
    result = CliRunner().invoke(app, words, env={"CONTINUUM_APPROVER_TOKEN": token})
    assert (result.exit_code != 0) == fails, result.output
    return result.output if fails else result.stdout


def token_for(name: str, clusters: str) -> str:
    return str(json.loads(command("approvers", "add", name, "--clusters", clusters, "--json"))["token"])


def test_a_token_approves_what_lies_in_its_clusters_and_the_journal_says_who_it_was(run: Suspended) -> None:
    token = token_for("ada", "eu-eks,us-gke")
    (listed,) = json.loads(command("approve", "--json"))
    assert [change["subject"] for change in listed["changes"]] == list(POOLS)
    command("approve", str(run.id), "--yes", "--leave-out", "eu-eks/batch", "--note", "before the sale", token=token)
    assert run.go_on() == ["eu-eks/web", "us-gke/web"]
    kept = run.decisions()
    assert kept["eu-eks/web"].state == Verdict.APPROVED
    assert kept["eu-eks/web"].detail.startswith("approved by ada (verified) at ")
    assert kept["eu-eks/web"].detail.endswith(": before the sale")
    assert (kept["eu-eks/batch"].state, kept["eu-eks/batch"].detail.split(";")[0]) == (Verdict.REJECTED, "left out")
    assert json.loads(command("approve", "--json")) == []


def test_changes_of_other_peoples_clusters_are_refused_and_the_run_goes_on_waiting(run: Suspended) -> None:
    said = command("approve", str(run.id), "--yes", token=token_for("bob", "eu-eks"), fails=True)
    assert "bob may not approve us-gke/web" in said
    assert "--leave-out us-gke/web" in said
    assert len(json.loads(command("approve", "--json"))) == 1


def test_a_token_of_nobody_is_refused(run: Suspended) -> None:
    token_for("ada", "*")
    assert "the token is nobody's" in command("approve", str(run.id), "--yes", token="guess", fails=True)


def test_the_token_of_somebody_who_was_removed_is_refused(run: Suspended) -> None:
    token = token_for("ada", "*")
    command("approvers", "remove", "ada")
    assert "the token is nobody's" in command("approve", str(run.id), "--yes", token=token, fails=True)


def test_a_rejected_proposal_changes_nothing_and_keeps_who_said_no(run: Suspended) -> None:
    command("approve", str(run.id), "--reject", "--yes", token=token_for("ada", "*"))
    assert run.go_on() == []
    assert {row.detail[:28] for row in run.decisions().values()} == {"rejected by ada (verified) a"}


def test_what_is_typed_in_the_ui_is_kept_as_unverified(run: Suspended) -> None:
    run.typed_in_the_ui(name="ada", leave_out=" us-gke,")
    assert run.go_on() == ["eu-eks/web", "eu-eks/batch"]
    assert run.decisions()["eu-eks/web"].detail.startswith("approved by ada (unverified) at ")


def test_a_name_that_is_left_out_but_not_in_the_plan_stops_all_of_it(run: Suspended) -> None:
    run.typed_in_the_ui(name="ada", leave_out="us-gek")
    assert run.go_on() == []
    assert "nothing in the plan is called 'us-gek'" in run.decisions()["eu-eks/web"].detail


def test_a_fleet_that_takes_verified_answers_alone_rejects_what_is_typed(fleet: Fleet) -> None:
    save_fleet(fleet.model_copy(update={"approvals": "verified"}), "default")
    run = Suspended()
    run.typed_in_the_ui(name="ada")
    assert run.go_on() == []
    assert "takes only what `continuum approve` has verified" in run.decisions()["eu-eks/web"].detail


def test_of_two_people_who_answer_at_once_the_first_counts(run: Suspended) -> None:
    store = Store.open()
    (proposal,) = waiting(store)
    first, second = (approvals.who(store, token_for(name, "*")) for name in ("ada", "bob"))
    answer(store, named([proposal], proposal.run_name), first, approve=True, leave_out=[], note="")
    with pytest.raises(Conflict, match="not taken"):
        answer(store, proposal, second, approve=False, leave_out=[], note="")
    assert run.go_on() == list(POOLS)
    assert run.decisions()["us-gke/web"].detail.startswith("approved by ada (verified)")


def test_an_answer_without_a_name_is_not_taken(run: Suspended) -> None:
    with get_client(sync_client=True) as client:
        result = client.resume_flow_run(run.id, run_input={"approve": True, "leave_out": "", "note": "", "name": ""})
    assert result.status.value == "REJECT"
