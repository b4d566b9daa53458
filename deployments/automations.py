"""What the Prefect server does by itself: ends runs that have died silently, and tells people what needs them.

Runs that an event starts are triggers of their deployments, in prefect.yaml. These here belong to no deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events import EventTrigger, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, Posture

from blocks.events import AnomaliesDetected, BudgetExceeded, HealthDegraded, ScalingBlinded, TrafficDiverted
from deployments.deploy import intervals_s

ALERTS_BLOCK = "continuum-alerts"  # a notification block of any type, made by a person
OURS = ResourceSpecification.model_validate(
    {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.continuum"}
)
_RUNS = ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*"})
# The same run again, not a new one: it finds what it decided before, and the journal what it did.
_AGAIN = ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message="started again by Continuum")
STARTED = ("prefect.flow-run.Running", "prefect.flow-run.Retrying")
ENDED = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelled", "Cancelling", "Suspended", "Paused")
SILENT = timedelta(minutes=10)  # three of Prefect's heartbeats of three minutes, and a little
ONCE_MORE = ["1", "2"]  # a run that has crashed so often is started again; after the third time it stays Crashed
RETIRED = ("continuum: no pass has finished",)  # of an earlier release
MISSED = 3  # intervals without a finished pass
LEAST_SILENCE = timedelta(minutes=30)
NEEDS_A_PERSON = (
    ScalingBlinded.name, AnomaliesDetected.name, TrafficDiverted.name, BudgetExceeded.name, HealthDegraded.name,
)  # fmt: skip

Change = Literal["created", "changed", "unchanged"]


def wanted(alerts: UUID | None, silent: timedelta = SILENT) -> list[AutomationCore]:
    """Every automation of this release; those that tell people only where there is a block to tell them through.

    silent: after which a run without heartbeat is dead. One that a worker took and never started waits for SILENT.
    """
    always = [_died_silently(silent), _never_started(), _crashed()]
    if alerts is None:
        return always
    switches = [_dead_mans_switch(silence, names, alerts) for silence, names in _by_silence().items()]
    return [*always, _failed_or_late(alerts), *switches, _needs_a_person(alerts)]


def _died_silently(silent: timedelta) -> AutomationCore:
    return AutomationCore(
        name="continuum: runs that died silently",
        description="A run without a heartbeat is Crashed, so that it holds no concurrency slot.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat", *STARTED},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in ENDED)},
            match=_RUNS, match_related=OURS, for_each={"prefect.resource.id"}, posture=Posture.Proactive,
            within=silent,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED,
                                    message=f"no heartbeat for {silent.total_seconds():.0f} s: its process died")],
    )  # fmt: skip


def _never_started() -> AutomationCore:
    return AutomationCore(
        name="continuum: runs that were taken and never started",
        description="A worker took the run and died before it could start it; another worker takes it.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Submitting", "prefect.flow-run.Pending", "prefect.flow-run.InfrastructurePending"},
            expect={"prefect.flow-run.AwaitingRetry", *STARTED, *(f"prefect.flow-run.{state}" for state in ENDED)},
            match=_RUNS, match_related=OURS, for_each={"prefect.resource.id"}, posture=Posture.Proactive,
            within=SILENT,
        ),
        actions=[_AGAIN],
    )  # fmt: skip


def _crashed() -> AutomationCore:
    return AutomationCore(
        name="continuum: crashed runs are started again",
        description="A run whose process died goes on from its journal, in another process; twice at most.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Crashed"}, match_related=OURS, posture=Posture.Reactive, threshold=1,
            match=ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*",
                                                        "prefect.run-count": ONCE_MORE}),
        ),
        actions=[_AGAIN],
    )  # fmt: skip


def _failed_or_late(alerts: UUID) -> AutomationCore:
    ends = {"prefect.flow-run.Failed", "prefect.flow-run.TimedOut", "prefect.flow-run.Crashed", "prefect.flow-run.Late"}
    return AutomationCore(
        name="continuum: runs that failed or came late",
        description="Tells people of every run of ours that failed, crashed, or was not started in time.",
        trigger=EventTrigger(expect=ends, match_related=OURS, posture=Posture.Reactive),
        actions=[SendNotification(
            block_document_id=alerts, subject="Continuum: {{ flow.name }} {{ flow_run.state.name }}",
            body="Run {{ flow_run.name }}: {{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
        )],
    )  # fmt: skip


def _needs_a_person(alerts: UUID) -> AutomationCore:
    return AutomationCore(
        name="continuum: the fleet needs a person",
        description="Pools scaled blindly, values unlike their past, traffic taken off a site, a budget exceeded, "
        "something critical at a site.",
        trigger=EventTrigger(
            expect=set(NEEDS_A_PERSON), posture=Posture.Reactive,
            match=ResourceSpecification.model_validate({"prefect.resource.id": "continuum.fleet.*"}),
        ),
        actions=[SendNotification(
            block_document_id=alerts, subject="Continuum: {{ event.event }}", body="{{ event.payload }}",
        )],
    )  # fmt: skip


def _by_silence() -> dict[timedelta, list[str]]:
    """Scheduled deployments by how long nothing may be heard of them."""
    found: dict[timedelta, list[str]] = {}
    for name, seconds in intervals_s(by="name").items():
        found.setdefault(max(LEAST_SILENCE, MISSED * timedelta(seconds=seconds)), []).append(name)
    return dict(sorted(found.items()))


def _dead_mans_switch(silence: timedelta, names: list[str], alerts: UUID) -> AutomationCore:
    """Tells people when one of some deployments has not completed a run for so long, after one that it has."""
    hours = silence / timedelta(hours=1)
    told = f"{hours:g} hours" if hours >= 1 else f"{60 * hours:g} minutes"
    return AutomationCore(
        name=f"continuum: no pass for {told}",
        description=f"The dead man's switch of {', '.join(names)}: three intervals without a completed run.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Completed"}, expect={"prefect.flow-run.Completed"}, posture=Posture.Proactive,
            match_related=ResourceSpecification.model_validate(
                {"prefect.resource.role": "deployment", "prefect.resource.name": names}
            ),
            for_each={"related:deployment:prefect.resource.id"}, within=silence,
        ),
        actions=[SendNotification(
            block_document_id=alerts, subject=f"Continuum: no pass has finished for {told}",
            body=f"One of {', '.join(names)}. Is a worker of the work pool running? `continuum status` tells more.",
        )],
    )  # fmt: skip


def alerts_block(client: SyncPrefectClient) -> UUID | None:
    """The notification block that people made for us, of whatever type."""
    found = [block.id for block in client.read_block_documents() if block.name == ALERTS_BLOCK]
    return found[0] if found else None


def ensure(client: SyncPrefectClient, automations: Sequence[AutomationCore]) -> dict[str, Change]:
    """Create what is missing, change what differs, remove what is retired; what a person switched off stays off."""
    told: dict[str, Change] = {}
    for name in RETIRED:
        for old in client.read_automations_by_name(name):
            client.delete_automation(old.id)
    for automation in automations:
        found = client.read_automations_by_name(automation.name)
        if not found:
            client.create_automation(automation)
            told[automation.name] = "created"
        elif _content(found[0]) == _content(automation):
            told[automation.name] = "unchanged"
        else:
            client.update_automation(found[0].id, automation.model_copy(update={"enabled": found[0].enabled}))
            told[automation.name] = "changed"
    return told


def _content(automation: AutomationCore) -> dict[str, object]:
    """What an automation does, in a form that two of them can be compared by; not as JSON, where sets get an order."""
    return automation.model_dump(include={"description", "trigger", "actions"}, exclude={"trigger": {"id"}})
