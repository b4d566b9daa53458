"""Flow runs as a Prefect server knows them: the newest of each deployment, the ones to come, and what they logged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    LogFilter,
    LogFilterFlowRunId,
)  # fmt: skip
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort, LogSort
from prefect.exceptions import ObjectNotFound

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, Log

_PAGE = 200
_SCHEDULED = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
_STARTED = FlowRunFilterStartTime(is_null_=False)


def deployment_id(client: SyncPrefectClient, name: str) -> UUID | None:
    """The id of `flow/deployment`; None where it is not deployed."""
    try:
        return client.read_deployment_by_name(name).id
    except ObjectNotFound:
        return None


def newest_run(client: SyncPrefectClient, deployment: UUID) -> FlowRun | None:
    """The newest run of a deployment that has started."""
    of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]), start_time=_STARTED)
    runs = client.read_flow_runs(flow_run_filter=of_it, sort=FlowRunSort.START_TIME_DESC, limit=1)
    return runs[0] if runs else None


def next_run(client: SyncPrefectClient, deployment: UUID) -> FlowRun | None:
    """The next run of a deployment that is to start by its schedule."""
    of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]), state=_SCHEDULED)
    runs = client.read_flow_runs(flow_run_filter=of_it, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=1)
    return runs[0] if runs else None


def logged(client: SyncPrefectClient, run: UUID) -> Iterator[Log]:
    """What a run logged, oldest first."""
    of_it = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    for offset in range(0, 1_000_000, _PAGE):
        page = client.read_logs(of_it, limit=_PAGE, offset=offset, sort=LogSort.TIMESTAMP_ASC)
        yield from page
        if len(page) < _PAGE:
            return
