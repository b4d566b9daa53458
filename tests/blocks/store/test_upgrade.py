"""A store of every earlier release opens with what it held."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import MetaData, Table

from blocks.store import Journal, Store
from blocks.store.database import connect
from blocks.store.migrate import HEAD, config
from blocks.store.tables import Decision, Intent, Scorecard, State

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
OLDER = [f"{number:04d}" for number in range(1, int(HEAD))]
ROWS = {  # of the first release; later ones add columns with a default, and tables
    "decision": {"id": "d" * 32, "flow_run_id": "run", "flow": "cluster-scaling", "subject": "eu-eks/web",
                 "mode": "act", "action": "up", "state": "approved", "ordinal": 0, "as_of": AT, "created_at": AT,
                 "expires_at": None,
                 "content": {"want": 5}, "reasons": [{"code": "peak"}], "promised": {"node_hours": 1.5}, "detail": ""},
    "scorecard": {"id": "c" * 32, "flow": "cluster-scaling", "subject": "eu-eks/web", "method": "ours",
                  "period_start": AT, "period_end": AT, "scores": {"minutes": 60.0}, "created_at": AT},
    "intent": {"id": "e" * 32, "key": "k", "decision_id": "d" * 32, "undoes": None, "subject": "eu-eks/web",
               "kind": "set-desired", "do": {"desired": 5}, "undo": {"desired": 3}, "planned_against": {},
               "operation": {}, "state": "started", "detail": "", "owner": "a:1:1:gone", "lease_until": AT,
               "version": 2, "created_at": AT, "updated_at": AT, "finished_step": None},
}  # fmt: skip


def left_by(revision: str, url: str) -> None:
    """A store as the release at that revision left it."""
    engine = connect(url)
    with engine.begin() as connection:
        command.upgrade(config(connection), revision)
        for name, row in ROWS.items():
            connection.execute(Table(name, MetaData(), autoload_with=connection).insert(), row)
    engine.dispose()


@pytest.mark.parametrize("revision", OLDER)
def test_what_an_earlier_release_held_is_there_and_its_changes_can_be_finished(revision: str, fresh_url: str) -> None:
    left_by(revision, fresh_url)
    store = Store.open(fresh_url)
    (decision,), (card,) = store.decisions(fleet="any"), store.scorecards(flow="cluster-scaling")
    assert decision == Decision(**ROWS["decision"])
    assert card == Scorecard(**ROWS["scorecard"])
    assert decision.fleet == ""
    journal = Journal(store)
    (left,) = journal.expired()
    assert left == Intent(**ROWS["intent"])
    assert journal.undone(journal.adopt(left)).state == State.UNDONE
    store.close()
