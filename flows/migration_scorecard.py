"""Keep score of moves: hold what each promised against what it brought, and both against staying."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.scaling_scorecard import ScorecardRequest
from tasks.migration.report_scorecard import publish_scorecard
from tasks.migration.scorecard import score_due
from tasks.run import open_run


@flow(name="migration-scorecard", description=__doc__)
def migration_scorecard(request: ScorecardRequest = ScorecardRequest()) -> dict[str, Any]:
    """Score what is due, and tell; nothing outside the store is written."""
    run = open_run("migration-scorecard", request.fleet)

    scored = score_due(run, request.days)

    return publish_scorecard(run, scored, request.days)


if __name__ == "__main__":
    migration_scorecard()
